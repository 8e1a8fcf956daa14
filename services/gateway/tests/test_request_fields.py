"""What the gateway knows of the fields of requests, by their names."""

from gateway.headers import Kinds


def test_names_that_clients_choose_take_little_memory():
    kinds = Kinds()
    for number in range(5_000):
        kinds.get(b"x-%d" % number)
        kinds.get(b"x-%d-" % number + b"y" * 10_000)
    assert sum(map(len, kinds.known)) < 1_000_000
