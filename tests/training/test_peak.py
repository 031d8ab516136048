from __future__ import annotations

import torch

from tsuzuri.training.devices import DEVICES
from tsuzuri.training.peak import PeakMemory

MIB = 2**20


def test_only_what_steps_hold_above_the_start_counts() -> None:
    earlier = torch.ones(200 * MIB // 4)
    del earlier
    peak = PeakMemory(DEVICES["cpu"])
    step = torch.ones(100 * MIB // 4)
    del step
    peak.look()
    assert 90 * MIB < peak.held_bytes < 140 * MIB
    peak.is_over = True
    evaluation = torch.ones(200 * MIB // 4)
    del evaluation
    peak.look()
    assert peak.held_bytes < 140 * MIB
