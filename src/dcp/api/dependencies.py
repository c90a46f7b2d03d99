"""What endpoints are handed: the controller's context."""

from typing import Annotated

from fastapi import Depends, Request

from dcp.engine.context import Context
from dcp.engine.registry.tokens import TokenServer
from dcp.kernel.errors import Unavailable


def context_of(request: Request) -> Context:
    """Return the context that the application was made with."""
    context: Context = request.app.state.context
    return context


def tokens_of(request: Request) -> TokenServer:
    """Return the token server. Raises Unavailable where the application was made without one."""
    found = context_of(request).token_server
    if found is None:
        raise Unavailable("there is no token server here")
    return found


Controller = Annotated[Context, Depends(context_of)]
Tokens = Annotated[TokenServer, Depends(tokens_of)]
