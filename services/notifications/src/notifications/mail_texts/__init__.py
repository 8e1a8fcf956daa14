"""The texts of mails: templates for each kind and language, and the message made of them."""
