"""What becomes of a notification on the channels that deliver it: announced and counted."""
