"""Key rotation: which key signs while the key files change under a running process."""

import asyncio
import time
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from prometheus_client import CollectorRegistry

from chassis.auth.keys import KeyFileError, PublicHalf, PublicKeys, generate_key, write_key_set
from chassis.auth.signing import SETTLE_SECONDS, SigningKeys
from chassis.errors import Unavailable

OLD, NEW = ECKey.generate_key("P-256", private=True), ECKey.generate_key("P-256", private=True)


class Mounted:
    """A Secret as the kubelet mounts it: a new directory for each version, and a swapped link."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._versions = 0
        for name in ("signing.json", "public.json"):
            (directory / name).symlink_to(Path("..data") / name)

    @property
    def private(self) -> Path:
        return self._directory / "signing.json"

    @property
    def public(self) -> Path:
        return self._directory / "public.json"

    def put(self, *, private: dict[str, ECKey], public: dict[str, ECKey]) -> None:
        """Replace both files at once."""
        self._versions += 1
        version = self._directory / f"..version-{self._versions}"
        version.mkdir()
        (version / "signing.json").write_text(write_key_set(private, private=True))
        (version / "public.json").write_text(write_key_set(public, private=False))
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self._directory / "..data")


class Clock:
    """A clock that advances only when the test advances it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    mounted = Mounted(tmp_path)
    mounted.put(private={"old": OLD}, public={"old": OLD})
    return mounted


def opened(mounted: Mounted, clock: Clock) -> SigningKeys:
    public = PublicKeys(mounted.public, check_seconds=0)
    return SigningKeys(mounted.private, public=public, check_seconds=0, clock=clock)


def test_the_only_key_signs_at_once(mounted: Mounted, clock: Clock):
    current = opened(mounted, clock).current()
    assert (current.kid, current.key.thumbprint()) == ("old", OLD.thumbprint())


@pytest.mark.parametrize(
    "private",
    [{"new": NEW, "old": OLD}, {"new": NEW}],
    ids=["the old key stays", "the old key goes"],
)
def test_a_new_key_signs_once_its_public_half_is_published_for_long_enough(
    mounted: Mounted, clock: Clock, private: dict[str, ECKey]
):
    keys = opened(mounted, clock)
    clock.now += 10_000
    assert keys.current().kid == "old"
    mounted.put(private=private, public={"old": OLD, "new": NEW})
    assert keys.current().kid == "old"
    clock.now += SETTLE_SECONDS - 1
    assert keys.current().kid == "old"
    clock.now += 1
    assert keys.current().kid == "new"


def test_a_private_key_that_arrives_before_its_public_half_waits_for_it(
    mounted: Mounted, clock: Clock
):
    """The two files are two mounts, and either may change first."""
    keys = opened(mounted, clock)
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD})
    clock.now += 10 * SETTLE_SECONDS
    assert keys.current().kid == "old"
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD, "new": NEW})
    clock.now += SETTLE_SECONDS - 1
    assert keys.current().kid == "old"  # it was first seen at this moment
    clock.now += SETTLE_SECONDS
    assert keys.current().kid == "new"


def test_a_public_half_that_was_published_first_lets_the_private_key_sign_at_once(
    mounted: Mounted, clock: Clock
):
    keys = opened(mounted, clock)
    mounted.put(private={"old": OLD}, public={"old": OLD, "new": NEW})
    assert keys.current().kid == "old"
    clock.now += SETTLE_SECONDS
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD, "new": NEW})
    assert keys.current().kid == "new"


def test_a_process_that_restarts_within_the_wait_begins_with_the_older_key(
    mounted: Mounted, clock: Clock
):
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD, "new": NEW})
    keys = opened(mounted, clock)
    assert keys.current().kid == "old"
    clock.now += SETTLE_SECONDS
    assert keys.current().kid == "new"


def test_a_key_that_is_withdrawn_stops_signing_at_once(mounted: Mounted, clock: Clock):
    """It may be stolen. A key that every verifier refuses is worse than a key that is too new."""
    keys = opened(mounted, clock)
    mounted.put(private={"new": NEW}, public={"new": NEW})
    assert keys.current().kid == "new"


def test_a_key_that_was_withdrawn_and_comes_back_waits_again(mounted: Mounted, clock: Clock):
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD, "new": NEW})
    keys = opened(mounted, clock)
    clock.now += SETTLE_SECONDS - 1
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD})
    keys.current()
    mounted.put(private={"new": NEW, "old": OLD}, public={"old": OLD, "new": NEW})
    keys.current()
    clock.now += SETTLE_SECONDS - 1
    assert keys.current().kid == "old"


def test_without_any_published_key_nothing_is_signed_until_there_is_one(
    mounted: Mounted, clock: Clock
):
    keys = opened(mounted, clock)
    mounted.put(private={"old": OLD}, public={"new": NEW})
    with pytest.raises(Unavailable, match="No signing key"):
        keys.current()
    mounted.put(private={"old": OLD}, public={"old": OLD})
    assert keys.current().kid == "old"


def test_a_key_id_with_another_public_half_counts_as_not_published(mounted: Mounted, clock: Clock):
    keys = opened(mounted, clock)
    mounted.put(private={"old": OLD}, public={"old": NEW})
    with pytest.raises(Unavailable):
        keys.current()


@pytest.mark.parametrize(
    ("private", "public"),
    [({"new": NEW}, {"old": OLD}), ({"old": NEW}, {"old": OLD})],
    ids=["another name", "another key"],
)
def test_files_that_do_not_fit_together_fail_the_start(
    mounted: Mounted, clock: Clock, private: dict[str, ECKey], public: dict[str, ECKey]
):
    mounted.put(private=private, public=public)
    with pytest.raises(KeyFileError, match="AUTH_JWKS_FILE"):
        opened(mounted, clock)


def test_public_halves_alone_sign_nothing(mounted: Mounted, clock: Clock):
    mounted.private.write_text(write_key_set({"old": OLD}, private=False))
    with pytest.raises(KeyFileError):
        opened(mounted, clock)


def test_a_file_that_gains_the_private_half_of_a_key_is_taken(mounted: Mounted, clock: Clock):
    mounted.put(private={"old": OLD}, public={"old": OLD, "new": NEW})
    keys = opened(mounted, clock)
    clock.now += SETTLE_SECONDS
    for private, signs in ((False, "old"), (True, "new")):
        mounted.private.write_text(write_key_set({"new": NEW}, private=private))
        assert keys.current().kid == signs


@pytest.mark.parametrize("half", ["", '{"keys": [{"kid": "ne', '{"keys": []}'])
def test_a_half_written_private_file_changes_nothing(mounted: Mounted, clock: Clock, half: str):
    keys = opened(mounted, clock)
    mounted.private.write_text(half)
    clock.now += 10 * SETTLE_SECONDS
    assert keys.current().kid == "old"


class SeenKeys(PublicKeys):
    """Public keys that notify the test when two of them were looked up."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, check_seconds=0)
        self.both_seen = asyncio.Event()

    def halves(self) -> set[PublicHalf]:
        found = super().halves()
        if len(found) == 2:
            self.both_seen.set()
        return found


async def test_an_idle_process_begins_to_wait_when_the_key_is_published(
    mounted: Mounted, clock: Clock
):
    """Otherwise the wait would begin at the next log-in, when the old key may be gone."""
    public = await asyncio.to_thread(SeenKeys, mounted.public)
    keys = await asyncio.to_thread(
        SigningKeys, mounted.private, public=public, check_seconds=0.001, clock=clock
    )
    both = {"new": NEW, "old": OLD}
    await asyncio.to_thread(mounted.put, private=both, public=both)
    watching = asyncio.create_task(keys.watch())
    async with asyncio.timeout(10):
        await public.both_seen.wait()
    watching.cancel()
    clock.now += SETTLE_SECONDS
    assert keys.current().kid == "new"


def test_the_age_of_the_key_that_signs_is_shown(tmp_path: Path, clock: Clock):
    registry = CollectorRegistry()
    mounted = Mounted(tmp_path)
    made = generate_key()
    mounted.put(private={"old": OLD}, public={"old": OLD})
    keys = opened(mounted, clock)
    keys.register_metrics(registry)
    name = "signing_key_created_timestamp_seconds"
    assert registry.get_sample_value(name) == 0, "its file does not say"
    mounted.put(private=made, public=made)
    clock.now += SETTLE_SECONDS
    keys.current()
    age = time.time() - (registry.get_sample_value(name) or 0)
    assert 0 <= age < 60
    assert "iat" not in mounted.public.read_text(), "verifiers don't need it"


def test_without_a_key_that_may_sign_its_age_is_unknown(mounted: Mounted, clock: Clock):
    registry = CollectorRegistry()
    keys = opened(mounted, clock)
    keys.register_metrics(registry)
    mounted.put(private={"old": OLD}, public={"new": NEW})
    with pytest.raises(Unavailable):
        keys.current()
    assert registry.get_sample_value("signing_key_created_timestamp_seconds") == 0
