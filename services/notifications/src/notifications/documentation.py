"""The tags of the notifications service's OpenAPI document, and the values of its examples."""

from chassis.http.documentation import Documentation

_ID = "01960000-0000-7000-8000-000000000401"
_ORDER = "01960000-0000-7000-8000-000000000101"

DOCUMENTATION = Documentation(
    tags={
        "notifications": "The notifications of a user, and the channels that they come by.",
        "feed": "Notifications as they come, as server-sent events.",
        "announcements": "Messages of operators to all users.",
        "webhooks": "Notifications as signed HTTP requests to a server of the user's choice.",
    },
    examples={
        "NotificationOut.id": _ID,
        "NotificationOut.type": "order.shipped",
        "NotificationOut.title": "Order shipped",
        "NotificationOut.body": f"Your order {_ORDER} is on its way.",
        "NotificationOut.data": {"order_id": _ORDER},
        "NotificationOut.read_at": None,
        "event_id": 7,
        "streamNotifications.200": (
            f'id: 7\nevent: notification\ndata: {{"id": "{_ID}", "event_id": 7, "type": '
            '"order.shipped", "title": "Order shipped"}\n\n'
        ),
        "ticket": "st_3q2-7wAAq1Zb9m0X",
        "NewAnnouncement.title": "Maintenance on Sunday",
        "NewAnnouncement.body": "Orders can't be placed from 2:00 to 3:00 UTC.",
        "NewAnnouncement.data": {"page": "/maintenance"},
        "AnnouncementOut.title": "Maintenance on Sunday",
        "AnnouncementOut.body": "Orders can't be placed from 2:00 to 3:00 UTC.",
        "AnnouncementOut.data": {"page": "/maintenance"},
        "locale": "en-GB",
        "muted": ["orders.email"],
        "ExportedRecipient.email": "ada@example.com",
        "full_name": "Ada Lovelace",
        "recipient": "ada@example.com",
        "url": "https://hooks.example.com/slipway",
        "description": "The shop's stock system",
        "types": ["order.shipped"],
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "DeliveryOut.type": "order.shipped",
        "ExportedDelivery.type": "order.shipped",
        "expires_at": "2027-01-31T12:30:00Z",
        "withdrawn_at": None,
        "disabled_reason": None,
        "disabled_at": None,
        "previous_secret_until": None,
        "email_refused_at": None,
        "redeliver.202.state": "waiting",
        "redeliver.202.attempts": [],
        "testWebhook.202.attempts": [],
        "DeliveryOut.state": "delivered",
        "DeliveryOut.next_attempt_at": None,
        "AttemptOut.error": None,
        "AttemptOut.response": "ok",
        "AttemptOut.status": 200,
        "ExportedMail.kind": "order.shipped",
        "ExportedMail.state": "sent",
        "ExportedJob.kind": "notifications.test_webhook",
        "ExportedMessage.topic": "slipway.orders",
        "ExportedMessage.type": "order.shipped.v1",
        "ExportedResponse.request": "POST /api/v1/webhooks",
    },
)
