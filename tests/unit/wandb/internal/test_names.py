from __future__ import annotations

import random
import re
import time
import uuid

from wandb.internal.names import generate_id, generate_writer_id, run_dir_name, run_stamp


def test_ids_have_eight_small_letters_and_digits_and_do_not_repeat() -> None:
    ids = {generate_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(re.fullmatch("[a-z0-9]{8}", name) for name in ids)
    assert len(generate_id(128)) == 128 and generate_id(0) == ""


def test_every_letter_occurs() -> None:
    assert len(set(generate_id(5000))) == 36


def test_a_seed_does_not_repeat_an_id() -> None:
    random.seed(0)
    first = generate_id()
    random.seed(0)
    assert generate_id() != first


def test_writer_ids_are_uuids_of_version_seven_with_the_time_in_front() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = uuid.UUID(generate_writer_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert 0 <= (made.int >> 80) - before_ms < 60_000


def test_the_stamp_is_local_time() -> None:
    assert run_stamp(time.mktime((2026, 11, 23, 8, 36, 1, 0, 0, -1))) == "20261123_083601"


def test_names_that_are_taken_get_a_number() -> None:
    at_s = time.mktime((2026, 11, 23, 8, 36, 1, 0, 0, -1))
    assert run_dir_name("offline-run", at_s, "abc") == "offline-run-20261123_083601-abc"
    assert run_dir_name("run", at_s, "abc", 2) == "run-20261123_083601-abc-2"
