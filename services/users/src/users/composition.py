"""The composition root: opens the API process's resources and starts its long-lived tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.auth import TokenSigner
from chassis.auth.keys import PublicKeys
from chassis.auth.passwords import Passwords
from chassis.auth.signing import SigningKeys
from chassis.http.host_cookie import HostCookie, origin_of
from chassis.process import Process
from chassis.wiring import ServiceResources
from users.accounts.jobs import FirstAdmin
from users.accounts.wiring import account_transaction
from users.resources import Resources
from users.settings import UsersSettings


@asynccontextmanager
async def open_resources(
    common: ServiceResources, settings: UsersSettings, process: Process
) -> AsyncIterator[Resources]:
    """Open the API process's resources, and start the task that creates the first administrator."""
    public_keys = await asyncio.to_thread(PublicKeys, settings.auth_jwks_file)
    signing_keys = await asyncio.to_thread(
        SigningKeys,
        settings.auth_signing_keys_file,
        public=public_keys,
        settle_seconds=settings.auth_signing_key_wait,
    )
    signing_keys.register_metrics(process.registry)
    with Passwords(
        threads=settings.password_threads,
        seconds=settings.password_queue_seconds,
        parameters=settings.hash_parameters,
        former=settings.former_hash_parameters,
        registry=process.registry,
    ) as passwords:
        resources = common.extended(
            Resources,
            passwords=passwords,
            signer=_signer(settings, signing_keys),
            public_keys=public_keys,
            session_limits=settings.session_limits,
            refresh_cookie=_refresh_cookie(settings),
            issuer=settings.auth_issuer,
            log_in_limits=settings.log_in_limits,
            registration_limits=settings.registration_limits,
            mail_limits=settings.mail_limits,
            totp_keys=settings.totp_secret_keys,
            relying_party=settings.relying_party,
        )
        process.start(signing_keys.watch(), name="signing keys")
        _start_first_admin(settings, process, resources)
        yield resources


def _signer(settings: UsersSettings, keys: SigningKeys) -> TokenSigner:
    return TokenSigner(
        key=keys.current,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        lifetime=settings.access_lifetime,
    )


def _refresh_cookie(settings: UsersSettings) -> HostCookie:
    return HostCookie(
        name="refresh-token",
        lifetime=settings.session_limits.idle,
        origins={origin_of(settings.auth_issuer), *settings.browser_origins},
    )


def _start_first_admin(settings: UsersSettings, process: Process, resources: Resources) -> None:
    if settings.first_admin_email is None or settings.first_admin_password is None:
        return
    job = FirstAdmin(
        transaction=lambda: account_transaction(resources),
        email=settings.first_admin_email,
        password=settings.first_admin_password,
    )
    process.start(job.run(), name="first admin")
