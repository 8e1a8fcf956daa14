"""A second version of a route needs entries in the route table, and the service; nothing else."""

from contextlib import asynccontextmanager
from datetime import date

import pytest
from fastapi import FastAPI

from chassis.http import Router, Shape
from chassis.http.openapi import describe
from gateway.routes import Auth, Route
from testkit.clients import serving

from .conftest import running

V1, V2 = "/api/v1/parcels", "/api/v2/parcels"
# What a fork adds to the table. The deprecated version is an entry of its own.
ROUTES = (
    Route(
        prefix=V1,
        service="orders",
        auth=Auth.PUBLIC,
        deprecated=date(2026, 12, 1),
        sunset=date(2027, 6, 1),
        deprecation_notice="https://slipway.dev/parcels-v2",
        successor=V2,
    ),
    Route(prefix=V2, service="orders", auth=Auth.PUBLIC),
)


class Parcel(Shape):
    weight: int


class ParcelV2(Shape):
    weight_grams: int
    tracked: bool


def routers():
    """Return what the service adds: a router for each version, and one use case for both."""
    first = Router(prefix=V1, tags=["parcels"])
    second = Router(prefix=V2, tags=["parcels"])

    def weigh():
        return 1200

    @first.get("/{parcel_id}", operation_id="getParcel", summary="Get a parcel", deprecated=True)
    async def get_parcel(parcel_id: str) -> Parcel:
        del parcel_id
        return Parcel(weight=weigh() // 1000)

    @second.get("/{parcel_id}", operation_id="getParcelV2", summary="Get a parcel")
    async def get_parcel_v2(parcel_id: str) -> ParcelV2:
        del parcel_id
        return ParcelV2(weight_grams=weigh(), tracked=True)

    return first, second


@asynccontextmanager
async def versioned(settings):
    app = FastAPI()
    for router in routers():
        app.include_router(router)
    describe(app)
    async with serving(app) as url:
        every = {"users_url": url, "orders_url": url, "notifications_url": url}
        async with running(settings.model_copy(update=every), ROUTES) as gateway:
            yield gateway.http


async def test_both_versions_are_served_side_by_side(settings):
    async with versioned(settings) as http:
        old = await http.get(f"{V1}/7")
        new = await http.get(f"{V2}/7")
        assert (old.status_code, old.json()) == (200, {"weight": 1})
        assert (new.status_code, new.json()) == (200, {"weight_grams": 1200, "tracked": True})


@pytest.mark.parametrize(("path", "status"), [(f"{V1}/7", 200), (f"{V1}/7/nothing", 404)])
async def test_each_response_of_the_old_version_says_that_it_ends_and_where_to_go(
    settings, path, status
):
    """RFC 9745 has a structured date, RFC 8594 one of HTTP."""
    async with versioned(settings) as http:
        old = await http.get(path)
    assert old.status_code == status
    assert old.headers["deprecation"] == "@1796083200"
    assert old.headers["sunset"] == "Tue, 01 Jun 2027 00:00:00 GMT"
    assert old.headers["link"] == (
        '<https://slipway.dev/parcels-v2>; rel="deprecation"; type="text/html", '
        f'<{V2}>; rel="successor-version"'
    )


async def test_the_new_version_says_nothing_of_an_end(settings):
    async with versioned(settings) as http:
        new = await http.get(f"{V2}/7")
    assert not {"deprecation", "sunset", "link"} & new.headers.keys()


@pytest.mark.parametrize("path", ["/api/v3/parcels/7", "/api/v2/orders", "/api/parcels/7"])
async def test_a_version_that_the_table_lacks_is_404(settings, path, assert_problem):
    async with versioned(settings) as http:
        assert_problem(await http.get(path), 404, "not-found")


async def test_the_document_has_both_versions_and_says_which_one_is_deprecated(settings):
    async with versioned(settings) as http:
        document = (await http.get("/openapi.json")).json()
    old, new = (document["paths"][f"{path}/{{parcel_id}}"]["get"] for path in (V1, V2))
    assert (old.get("deprecated"), new.get("deprecated")) == (True, None)
    assert old["operationId"] != new["operationId"]
    assert {"Parcel", "ParcelV2"} <= document["components"]["schemas"].keys()
