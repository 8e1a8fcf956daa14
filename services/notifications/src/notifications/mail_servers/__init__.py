"""The mail server that accepts our mails by SMTP, and what its responses mean for a mail."""
