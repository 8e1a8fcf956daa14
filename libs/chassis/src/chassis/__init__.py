"""The mechanism that every service shares: settings, database, messaging, auth, http, telemetry, health."""
