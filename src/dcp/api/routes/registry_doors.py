"""The two doors that registries and their clients use. They know other keys than the API's token:

a client shows an account's name and password or its refresh token, a registry the bearer of its site. Answers have the
shape that clients of registries read, which is not the shape of the API.
"""

import base64
import binascii
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from dcp.api.dependencies import Controller, Tokens
from dcp.api.errors import status_of
from dcp.engine.registry import notifications
from dcp.engine.registry.identity import Credentials, Refused
from dcp.engine.registry.settings import EVENTS_PATH, TOKEN_PATH
from dcp.engine.registry.tokens import Token, TokenRequest, TokenServer
from dcp.images.access.scopes import parse_scopes
from dcp.kernel.errors import DcpError, InvalidInput, Throttled

router = APIRouter(include_in_schema=False)
FORM_LIMIT_BYTES = 64 << 10
ENVELOPE_LIMIT_BYTES = 8 << 20
_NO_STORE = {"Cache-Control": "no-store"}
Fields = Mapping[str, Sequence[str]]


class _BadRequest(Exception):
    """The request is no request for a token."""


@router.get(TOKEN_PATH)
async def token(request: Request, tokens: Tokens) -> JSONResponse:
    """A token for the scopes of the query; HTTP Basic says who asks, nothing says nobody does."""
    fields = {key: request.query_params.getlist(key) for key in request.query_params}
    return await _answer(request, tokens, fields, by_form=False)


@router.post(TOKEN_PATH)
async def token_by_form(request: Request, tokens: Tokens) -> JSONResponse:
    """The same by OAuth 2: `grant_type` is `password` or `refresh_token`."""
    body = await _body(request, FORM_LIMIT_BYTES)
    if body is None:
        return _error(413, "UNSUPPORTED", "the form is too large")
    return await _answer(request, tokens, parse_qs(body.decode("utf-8", "replace")), by_form=True)


@router.post(EVENTS_PATH)
async def take_events(request: Request, controller: Controller, tokens: Tokens) -> JSONResponse:
    """What a registry tells."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    site = notifications.site_of(tokens.vault, bearer.strip()) if scheme.lower() == "bearer" else None
    if site is None:
        words = "the bearer of this registry is missing or wrong: dcp registry config --site NAME"
        return _error(401, "UNAUTHORIZED", words, {"WWW-Authenticate": 'Bearer realm="dcp"'})
    body = await _body(request, ENVELOPE_LIMIT_BYTES)
    if body is None:
        return _error(413, "UNSUPPORTED", "the envelope is too large")
    try:
        taken = await notifications.take(controller, tokens.settings.keep_history_s, site, json.loads(body))
    except (ValueError, RecursionError):
        return _error(400, "UNSUPPORTED", "the envelope is not JSON")
    except InvalidInput as error:
        return _error(400, "UNSUPPORTED", str(error))
    return JSONResponse({"taken": taken})


async def _answer(request: Request, tokens: TokenServer, fields: Fields, *, by_form: bool) -> JSONResponse:
    try:
        asked = _request(request, tokens, fields, by_form=by_form)
    except _BadRequest as error:
        return _error(400, "UNSUPPORTED", str(error))
    try:
        found = await tokens.answer(asked)
    except Throttled as error:
        return _error(429, "TOOMANYREQUESTS", str(error), {"Retry-After": f"{error.delay_s:.0f}"})
    except DcpError as error:
        return _error(status_of(error), "UNAVAILABLE", str(error))
    if isinstance(found, Token):
        return JSONResponse(_token(found, by_form=by_form), headers=_NO_STORE)
    return _refusal(found)


def _request(request: Request, tokens: TokenServer, fields: Fields, *, by_form: bool) -> TokenRequest:
    service = _one(fields, "service")
    if service not in ("", tokens.settings.service):
        raise _BadRequest(f"tokens of this server are for {tokens.settings.service}, not for {service[:100]}")
    try:
        scopes = parse_scopes(fields.get("scope", ()))
    except ValueError as error:
        raise _BadRequest(str(error)) from error
    address = request.client.host if request.client else "nowhere"
    if by_form:
        credentials, refresh_token = _of_form(fields)
        wants = _one(fields, "access_type") == "offline"
    else:
        credentials, refresh_token = _of_basic(request.headers.get("authorization", "")), ""
        wants = _one(fields, "offline_token").lower() in ("true", "1")
    return TokenRequest(scopes, address, credentials, refresh_token, wants)


def _of_form(fields: Fields) -> tuple[Credentials | None, str]:
    grant = _one(fields, "grant_type")
    if grant == "password" and "username" in fields:
        return Credentials(_one(fields, "username"), _one(fields, "password")), ""
    if grant == "refresh_token" and _one(fields, "refresh_token"):
        return None, _one(fields, "refresh_token")
    raise _BadRequest("grant_type must be password, with username and password, or refresh_token, with it")


def _of_basic(header: str) -> Credentials | None:
    if not header:
        return None
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _BadRequest("the Authorization header cannot be read") from error
    if scheme.lower() != "basic" or not colon:
        raise _BadRequest("the Authorization header is not HTTP Basic: the API's token opens no registry")
    return Credentials(name, password)


def _token(found: Token, *, by_form: bool) -> dict[str, Any]:
    issued = datetime.datetime.fromtimestamp(found.issued_at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: dict[str, Any] = {"access_token": found.text, "expires_in": found.expires_in_s, "issued_at": issued}
    if by_form:
        granted = (f"{one.scope.kind}:{one.scope.name}:{','.join(one.granted)}" for one in found.decisions)
        body |= {"token_type": "Bearer", "scope": " ".join(granted)}
    else:
        body["token"] = found.text
    return body | ({"refresh_token": found.refresh_token} if found.refresh_token else {})


def _refusal(refused: Refused) -> JSONResponse:
    if refused.retry_after_s:
        return _error(429, "TOOMANYREQUESTS", refused.words, {"Retry-After": f"{refused.retry_after_s:.0f}"})
    # What is wrong is for the log: whoever guesses names is not told which of them exist.
    words = "the log-in has ended" if refused.reason == "wrong-refresh-token" else "wrong name or password"
    return _error(401, "UNAUTHORIZED", words, {"WWW-Authenticate": 'Basic realm="dcp"'})


def _error(status: int, code: str, words: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = {"errors": [{"code": code, "message": words, "detail": None}]}
    return JSONResponse(body, status, {**_NO_STORE, **(headers or {})})


async def _body(request: Request, limit_bytes: int) -> bytes | None:
    """Return the body; None if it is larger than the limit."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit_bytes:
            return None
    return bytes(found)


def _one(fields: Fields, key: str) -> str:
    return next(iter(fields.get(key, ())), "")
