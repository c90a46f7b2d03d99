"""What endpoints are handed: the controller's context."""

from typing import Annotated

from fastapi import Depends, Request

from dcp.engine.context import Context


def context_of(request: Request) -> Context:
    """Return the context that the application was made with."""
    context: Context = request.app.state.context
    return context


Controller = Annotated[Context, Depends(context_of)]
