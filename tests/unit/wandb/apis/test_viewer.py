"""Who a key belongs to."""

from __future__ import annotations

import pytest
from simulated_server import API_KEY, Answer, SimulatedServer

from wandb.apis.viewer import viewer
from wandb.errors import AuthenticationError, CommError, RejectedError, TransientError


def test_the_account_of_a_key_is_told() -> None:
    with SimulatedServer().listen() as base_url:
        assert viewer(base_url, API_KEY).entity == "someone"


@pytest.mark.parametrize(
    "answer, error",
    [
        (b'{"errors": [{"message": "no such field"}], "data": null}', RejectedError),
        (b'{"errors": [{"message": "user not authenticated"}], "data": null}', AuthenticationError),
        (b'{"data": {"viewer": null}}', AuthenticationError),
        (b'{"data": null}', AuthenticationError),
        (b"[]", TransientError),
        (b"<html>Log in</html>", TransientError),
    ],
)
def test_every_other_answer_has_its_error(answer: bytes, error: "type[CommError]") -> None:
    server = SimulatedServer()
    server.fail = lambda operation, n: Answer(200, body=answer)
    with server.listen() as base_url, pytest.raises(error):
        viewer(base_url, API_KEY)
