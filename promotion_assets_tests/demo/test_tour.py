"""The tour is followed on the demo that it speaks of."""

from __future__ import annotations

import os
from pathlib import Path

from promotion_assets.demo.home import DemoHome
from promotion_assets_tests.guides.runner import REPOSITORY, follow, guide_environment


def test_commands_of_the_tour_print_what_it_shows(working_copy: DemoHome, tmp_path: Path) -> None:
    """From the status to the ledger's verification, in the folder that `make demo` leaves."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / ".demo").symlink_to(working_copy.root)
    ran = follow(REPOSITORY / "docs" / "tour.md", folder, guide_environment(os.environ))
    assert len(ran) == 6
