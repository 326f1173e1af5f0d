from __future__ import annotations

import ast
import doctest
from pathlib import Path

import pytest

from asyncsctp.congestion import INITIAL_SSTHRESH, CongestionController, initial_window, rfc9260


class Fixed(CongestionController):
    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        pass

    def on_fast_retransmit(self, now: float) -> None:
        self.cwnd = 3000


@pytest.mark.parametrize(
    ("pmdcs", "ipv4", "cwnd"),
    [
        (1000, True, 4000),  # four packets
        (1240, True, 4404),
        (1240, False, 4344),
        (1452, True, 4404),
        (8960, True, 17920),  # two packets
        (8940, False, 17880),
    ],
)
def test_initial_window_is_that_of_section_7_2_1(pmdcs: int, ipv4: bool, cwnd: int) -> None:
    assert initial_window(pmdcs, ipv4) == cwnd
    assert Fixed(pmdcs, ipv4).cwnd == cwnd


def test_a_subclass_that_writes_only_what_it_must_has_sane_answers_to_the_rest() -> None:
    controller = Fixed(1200, True)
    controller.on_rtt(0.1, 1.0)
    controller.on_all_acked()
    controller.on_idle(5.0, 1.0)
    assert controller.cwnd == 4404
    controller.on_congestion_experienced(1.0)
    assert controller.cwnd == 3000
    controller.on_timeout(1.0)
    assert controller.cwnd == 1200
    controller.on_pmdcs(500)
    controller.reinitialize()
    assert controller.cwnd == 2000
    assert controller.ssthresh == INITIAL_SSTHRESH


def test_the_base_class_can_not_be_used_as_it_is() -> None:
    with pytest.raises(NotImplementedError):
        CongestionController(1200, True).on_ack(1, 1, True, False, 0.0)
    with pytest.raises(NotImplementedError):
        CongestionController(1200, True).on_fast_retransmit(0.0)


def test_the_example_in_the_docstring_works() -> None:
    # From the source, for a compiled class has no docstring.
    source = ast.parse((Path(rfc9260.__file__).parent / "rfc9260.py").read_text())
    texts = [ast.get_docstring(node) or "" for node in source.body if isinstance(node, ast.ClassDef)]
    runner = doctest.DocTestRunner()
    example = doctest.DocTestParser().get_doctest("\n\n".join(texts), vars(rfc9260) | {}, "rfc9260", None, None)
    assert runner.run(example).failed == 0
    assert runner.summarize().attempted > 4
