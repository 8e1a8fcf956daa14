#!/usr/bin/env bash
# aiosmtplib 5.1.3, Python 3.11 to 3.13: `send_message` does not write a message by the message's own
# policy. An EmailMessage whose policy allows lines of 998 characters (RFC 5322 §2.1.1) and writes a
# List-Unsubscribe of one URL as it is, is sent with lines of 78: the URL does not fit, so the email
# package encodes it as words of RFC 2047. A mail client can't read a link from that (RFC 8058 asks
# for a URI between angle brackets). `sendmail` with `message.as_bytes()` sends the URL as it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aiosmtplib==5.1.3 aiosmtpd==1.4.6
cat > "$work/show.py" <<'PY'
import asyncio
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY

import aiosmtplib
from aiosmtpd.smtp import SMTP

URL = "<https://shop.example.com/api/v1/notifications/unsubscribe?token=" + "a" * 60 + ">"


class Keep:
    async def handle_DATA(self, server, session, envelope):
        lines = envelope.content.split(b"\r\n")
        [first] = [line for line in lines if line.startswith(b"List-Unsubscribe:")]
        print(session.host_name, "URL as it is" if URL.encode() in envelope.content else first)
        return "250 kept"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Keep()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    message = EmailMessage(policy=SMTP_POLICY.clone(max_line_length=998))
    message["From"], message["To"] = "shop@example.com", "ada@example.com"
    message["List-Unsubscribe"] = URL
    message.set_content("Shipped.")
    for name in ("send_message", "sendmail"):
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=port, start_tls=False, local_hostname=name
        )
        async with client:
            if name == "send_message":
                await client.send_message(message)
            else:
                await client.sendmail("shop@example.com", ["ada@example.com"], message.as_bytes())
    server.close()


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
grep -q '^send_message b.List-Unsubscribe: =?utf-8?q?' "$work/seen"
grep -q '^sendmail URL as it is$' "$work/seen"
