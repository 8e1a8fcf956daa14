import asyncio
import mailbox
import smtplib
from email.message import EmailMessage

import psutil
import pytest

from localservers import MailSink
from localservers.ports import free_port


@pytest.fixture
async def sink(tmp_path):
    server = MailSink(directory=tmp_path, port=free_port())
    await server.start()
    yield server
    await server.stop()


def send(port: int, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message)


def message(subject: str, to: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "shop@example.com", to, subject
    made.set_content("Grüße\n.\nend")
    return made


async def test_a_message_is_kept_in_the_maildir_with_whom_it_was_for(sink):
    await asyncio.to_thread(send, sink.port, message("Füße", "one@example.com, two@example.com"))
    kept = await asyncio.to_thread(lambda: list(mailbox.Maildir(sink.messages, create=False)))
    assert len(kept) == 1
    assert kept[0]["X-Envelope-To"] == "one@example.com, two@example.com"
    body = kept[0].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert "Grüße\n.\nend" in body.decode()


async def test_addresses_beyond_ascii_are_taken(sink):
    await asyncio.to_thread(send, sink.port, message("hello", "jürgen@example.com"))
    assert len(await asyncio.to_thread(lambda: list((sink.messages / "new").iterdir()))) == 1


async def test_many_at_once_are_all_kept(sink):
    each = [message(str(number), "one@example.com") for number in range(20)]
    await asyncio.gather(*(asyncio.to_thread(send, sink.port, one) for one in each))
    assert len(await asyncio.to_thread(lambda: list((sink.messages / "new").iterdir()))) == 20


async def test_it_stops_though_a_client_is_connected_and_its_messages_survive(sink):
    await asyncio.to_thread(send, sink.port, message("hello", "one@example.com"))
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    await reader.readline()
    pid = sink.pid
    sink.stop_seconds = 5.0
    assert pid is not None
    await sink.stop()
    assert not psutil.pid_exists(pid)
    assert "Traceback" not in await asyncio.to_thread(sink.log_tail)
    writer.close()
    await sink.start()
    assert len(await asyncio.to_thread(lambda: list((sink.messages / "new").iterdir()))) == 1


async def test_one_left_over_is_ended_by_the_next_start(tmp_path, orphan, ended):
    port = free_port()
    pid = await orphan("MailSink", directory=tmp_path, port=port)
    server = MailSink(directory=tmp_path, port=port)
    await server.start()
    assert ended(pid)
    await server.stop()
