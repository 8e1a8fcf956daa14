"""Mails: each is a row, which a job sends, and whose address and secret are erased after that."""
