"""The log level over HTTP, on the internal port."""

from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chassis.telemetry.levels import LEVELS

PATH = "/log-level"
_LONGEST_SECONDS = 24 * 3600
_UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    seconds: Annotated[int, Field(ge=1, le=_LONGEST_SECONDS)] = 900


def level_routes() -> list[Route]:
    """Return the routes that show and change the log level.

    ``GET`` shows the level. ``PUT {"level": "DEBUG", "seconds": 900}`` changes it for a time, at
    most a day: a level that somebody forgets fills disks, or hides requests. ``DELETE`` applies
    the setting again.
    """

    async def level(request: Request) -> JSONResponse:
        if request.method == "PUT":
            try:
                wanted = _Wanted.model_validate_json(await request.body())
            except ValidationError as error:
                return _problem(error)
            LEVELS.change_for(wanted.level, wanted.seconds)
        elif request.method == "DELETE":
            LEVELS.restore()
        return _shown()

    return [Route(PATH, level, methods=["GET", "PUT", "DELETE"])]


def _shown() -> JSONResponse:
    change = LEVELS.change
    until = None if change is None else change.until.isoformat(timespec="seconds")
    return JSONResponse({"level": LEVELS.level, "setting": LEVELS.setting, "until": until})


def _problem(error: ValidationError) -> JSONResponse:
    [first, *_] = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in first["loc"]) or "body"
    detail = (
        f"{place}: {first['msg']}. Send JSON such as "
        f'{{"level": "DEBUG", "seconds": 900}}; at most {_LONGEST_SECONDS} seconds.'
    )
    body = {"type": "about:blank", "title": _UNPROCESSABLE.phrase, "status": int(_UNPROCESSABLE)}
    return JSONResponse(
        body | {"detail": detail},
        status_code=_UNPROCESSABLE,
        media_type="application/problem+json",
    )
