"""API keys: make, list, revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from app.access.api_keys import MAX_ID
from app.access.key_administration import KeyAdministration
from app.search.search_request import DEFAULT_LIMIT
from app.web.callers import CurrentCaller, InNamespace, chosen_namespace
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, read_number
from app.web.payloads.keys import KEYS, KeyCreate, KeyCreated, KeyPage
from app.web.problems.problems import problem_responses

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], route_class=Guarded)


async def _administration(request: Request) -> KeyAdministration:
    services = request.app.state.services
    return KeyAdministration(services.sessions, services.access)


Administration = Annotated[KeyAdministration, Depends(_administration)]
KeyId = Annotated[int, Path(ge=1, le=MAX_ID, description="the key's id", examples=[7])]


@router.post("", status_code=201, responses=problem_responses(400, 413, 422))
@needs("admin", "keys")
def create_key(
    request: Request, caller: CurrentCaller, administration: Administration, body: KeyCreate
) -> KeyCreated:
    """Create a key for your namespace, valid no longer than yours; only this answer shows it."""
    chosen_namespace(caller, body.namespace)
    key, text = administration.create(caller, body.name, body.role, body.expires_at)
    request.state.audited = {"made_key_id": key.id, "made_role": key.role}
    return KeyCreated.of(key, caller.key_id, key=text)


@router.get("", responses=problem_responses(422))
@needs("admin", "keys")
def list_keys(
    caller: CurrentCaller,
    administration: Administration,
    _: InNamespace,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> KeyPage:
    """The keys of your namespace, newest first; their secret texts are not stored."""
    before = None if cursor is None else read_number(KEYS, cursor)
    return KeyPage.of(administration.newest(caller, before, limit + 1), limit, caller.key_id)


@router.delete("/{key_id}", status_code=204, responses=problem_responses(404, 409, 422))
@needs("admin", "keys")
def revoke_key(caller: CurrentCaller, administration: Administration, key_id: KeyId) -> None:
    """Revoke a key: it is refused at once, and by other processes within two seconds.

    The last valid admin key of a namespace cannot be revoked here.
    """
    administration.revoke(caller, key_id)
