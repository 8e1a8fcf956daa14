"""E-mail verifications: a mailed token proves that mails to an address arrive."""
