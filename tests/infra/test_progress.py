"""What `make run` says of how far it is, with steps that are not in its plan between those that are."""

from __future__ import annotations

from infra.demo.progress import Progress


def test_a_step_beside_the_plan_is_told_at_its_place_and_takes_nothing_off_what_is_left() -> None:
    said: list[str] = []
    progress = Progress(["land", "train", "publish"], said.append)
    progress.begin("land")
    progress.end("land", 2.0)
    progress.begin("tell")
    progress.still("tell", 15.0)
    progress.end("tell", 16.0, "skipped")
    progress.begin("train")
    progress.end("train", 1.0)
    progress.end("publish", 1.0)
    assert [line.split(" in ")[0] if "(" in line else line for line in said] == [
        "[ 1/3] land ...",
        "        land done",
        "[ 1/3] tell ...",
        "        tell is at work for 15 s, 2 steps to go after it",
        "        tell skipped",
        "[ 2/3] train ...",
        "        train done",
        "        publish done",
    ]
    assert [line.rsplit(", ", 1)[1] for line in said if "to go" in line] == [
        "2 steps to go",
        "2 steps to go after it",
        "2 steps to go",
        "1 step to go",
        "0 steps to go",
    ]
