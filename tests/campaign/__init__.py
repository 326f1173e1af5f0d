"""All random families of tests, run over as many seeds as one likes: `python -m tests.campaign --help`.

pytest takes the first few seeds of each family. Here they go on from there, on all processors, for as long as one
likes, and in several sittings.
"""
