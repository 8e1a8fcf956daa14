"""Wrappers of endpoints: FastAPI injects what the wrapper needs beside the endpoint's own."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, cast

from fastapi import Depends, Response


async def _response(response: Response) -> Response:
    """Return the response object on which the endpoint sets headers and status."""
    return response


ResponseDep = Annotated[Response, Depends(_response)]
"""The response object for a wrapper; FastAPI injects only one parameter of the type itself."""


def with_parameters[W: Callable[..., Any]](
    wrapper: W, endpoint: Callable[..., Any], **added: object
) -> W:
    """Give `wrapper` the signature of `endpoint` and more parameters, and return it.

    Args:
        wrapper: accepts all parameters by keyword.
        endpoint: the route's function.
        added: the annotations of the parameters that the wrapper takes for itself.
    """
    signature = inspect.signature(endpoint)
    more = (
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, annotation in added.items()
    )
    parameters = [*signature.parameters.values(), *more]
    cast("Any", wrapper).__signature__ = signature.replace(parameters=parameters)
    return wrapper
