"""One association: the façade, its parts, and what decides which chunk goes to whom."""
