"""The declaration of the users service: routes, retention, snapshots and exports."""

from datetime import timedelta

from chassis.exports import Export, ExportedJob
from chassis.jobs import InsideJob, JobKinds
from chassis.jobs.retention import Retention
from chassis.operations.replays import Snapshot
from chassis.service import Composition, Service, common_only
from chassis.verification.declared import Aggregate, Rows, Verification
from chassis.wiring import ServiceResources, ServiceSettings
from contracts.users import (
    SessionRevoked,
    UserApiKeyCreated,
    UserDeactivated,
    UserDeleted,
    UserEmailChanged,
    UserEmailVerified,
    UserPasswordChanged,
    UserProfileUpdated,
    UserReactivated,
    UserRegistered,
    UserRolesChanged,
    UserSecondFactorChanged,
    UserSnapshot,
)
from users.accounts import routes as accounts
from users.accounts.repository import VERSIONS, AccountRepository
from users.accounts.schemas import User
from users.accounts.service import account_export, account_snapshots, mail_request_export
from users.api_keys import routes as api_keys
from users.api_keys.jobs import prune_ended_keys
from users.api_keys.repository import ApiKeyRepository
from users.api_keys.schemas import ApiKeyView
from users.audit import routes as audit
from users.composition import open_resources
from users.documentation import DOCUMENTATION
from users.email_verifications import routes as email_verifications
from users.email_verifications.jobs import mail_verification
from users.email_verifications.models import MailVerification
from users.log_ins import routes as log_ins
from users.metadata import URGENT_TOPICS, Base
from users.one_time_tokens.jobs import prune_one_time_tokens
from users.one_time_tokens.repository import OneTimeTokenRepository
from users.one_time_tokens.schemas import ExportedOneTimeToken
from users.passkeys import routes as passkeys
from users.passkeys.jobs import prune_passkey_challenges
from users.passkeys.repository import PasskeyRepository
from users.passkeys.schemas import PasskeyView
from users.password_resets import routes as password_resets
from users.password_resets.jobs import mail_password_reset
from users.password_resets.models import MailPasswordReset
from users.passwords import routes as passwords
from users.sessions import routes as sessions
from users.sessions.jobs import (
    erase_successors,
    prune_ended_sessions,
    prune_refresh_tokens,
)
from users.sessions.models import REPEATABLE
from users.sessions.repository import SessionRepository
from users.sessions.schemas import ExportedSession
from users.settings import UsersSettings
from users.throttling.jobs import prune_buckets
from users.totp import routes as totp
from users.totp.jobs import prune_pending_totp
from users.totp.repository import TotpRepository
from users.totp.schemas import ExportedTotp

_SNAPSHOTS = (
    Snapshot[ServiceResources](
        UserSnapshot,
        lambda unit, _, after, limit: account_snapshots(
            AccountRepository(unit), after=after, limit=limit
        ),
    ),
)
_EXPORTS: tuple[Export[ServiceResources], ...] = (
    Export(
        name="accounts",
        item=User,
        scope="profile",
        read=lambda unit, _, person: account_export(AccountRepository(unit), person),
    ),
    Export(
        name="sessions",
        item=ExportedSession,
        scope="profile",
        read=lambda unit, _, person: SessionRepository(unit).each_of(person),
    ),
    Export(
        name="api_keys",
        item=ApiKeyView,
        scope="profile",
        read=lambda unit, _, person: ApiKeyRepository(unit).each_of(person),
    ),
    Export(
        name="passkeys",
        item=PasskeyView,
        scope="profile",
        read=lambda unit, _, person: PasskeyRepository(unit).each_of(person),
    ),
    Export(
        name="totp",
        item=ExportedTotp,
        scope="profile",
        read=lambda unit, _, person: TotpRepository(unit).each_of(person),
    ),
    Export(
        name="one_time_tokens",
        item=ExportedOneTimeToken,
        scope="profile",
        read=lambda unit, _, person: OneTimeTokenRepository(unit).each_of(person),
    ),
    Export(
        name="mail_requests",
        item=ExportedJob,
        scope="profile",
        read=lambda unit, _, person: mail_request_export(AccountRepository(unit), unit, person),
    ),
)
_RETENTION = (
    Retention(name="sessions.successor", prune=erase_successors, every=REPEATABLE),
    Retention(name="log_in_buckets", prune=prune_buckets, every=timedelta(minutes=1)),
    Retention(name="one_time_tokens", prune=prune_one_time_tokens, every=timedelta(minutes=1)),
    Retention(
        name="passkey_challenges", prune=prune_passkey_challenges, every=timedelta(minutes=1)
    ),
    Retention(name="totp.pending", prune=prune_pending_totp, every=timedelta(minutes=1)),
    Retention(name="refresh_tokens", prune=prune_refresh_tokens),
    # A small batch, since deleting a session also deletes all of its tokens.
    Retention(name="sessions", prune=prune_ended_sessions, batch=50),
    Retention(name="api_keys", prune=prune_ended_keys, every=timedelta(hours=1)),
)
_JOBS: JobKinds[ServiceResources] = JobKinds(
    kinds=[
        InsideJob(MailVerification, mail_verification),
        InsideJob(MailPasswordReset, mail_password_reset),
    ],
)
_VERIFICATION = Verification(
    aggregates=[
        Aggregate(
            name="account",
            events=[
                UserRegistered,
                UserEmailVerified,
                UserProfileUpdated,
                UserEmailChanged,
                UserPasswordChanged,
                UserSecondFactorChanged,
                UserApiKeyCreated,
                UserRolesChanged,
                UserDeactivated,
                UserReactivated,
                UserDeleted,
                UserSnapshot,
            ],
            rows=[Rows(sql=VERSIONS)],
            ended_by=[UserDeleted],
        )
    ]
)

SERVICE = Service(
    name="users",
    title="Users",
    about="Accounts, log-in sessions, API keys and the keys that access tokens are verified with.",
    documentation=DOCUMENTATION,
    metadata=Base.metadata,
    routers=[
        accounts.router,
        passwords.router,
        log_ins.router,
        sessions.router,
        sessions.keys,
        api_keys.router,
        api_keys.internal,
        email_verifications.router,
        password_resets.router,
        audit.router,
        totp.router,
        passkeys.router,
    ],
    api=Composition(settings=UsersSettings, extend=open_resources),
    worker=common_only(ServiceSettings),
    jobs=_JOBS,
    retention=_RETENTION,
    snapshots=_SNAPSHOTS,
    exports=_EXPORTS,
    verification=_VERIFICATION,
    urgent_topics=URGENT_TOPICS,
    ended_sessions=SessionRevoked,
)
