"""Alembic's entry point; the environment itself is the chassis's."""

from chassis.database.migrations import run_environment
from notifications.feed.models import FeedEntry
from notifications.models import Notification
from notifications.recipients.models import Recipient

# The models' modules must be imported for their tables to be known.
(metadata,) = {model.metadata for model in (FeedEntry, Notification, Recipient)}

run_environment(metadata)
