"""The configuration of a site's registry (CNCF distribution 2.8 and later), ready to be put in place."""

import json
from dataclasses import dataclass

from dcp.engine.registry.notifications import bearer_of
from dcp.engine.registry.settings import EVENTS_PATH, TOKEN_PATH, AccessSettings
from dcp.images.access.ports import Vault


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """Where the registry of one site listens and keeps its files."""

    site: str
    listens: str = ":5000"
    storage: str = "/var/lib/docker-registry"
    bundle: str = "/etc/docker/registry/dcp.pem"


def registry_configuration(place: RegistryPlace, url: str, settings: AccessSettings, vault: Vault) -> str:
    """Return the text of `config.yml`. `url` is where clients and the registry reach dcp. It holds secrets.

    `http.secret` is the same at every call, so that several registries of a site can share uploads under way.
    """
    base, quoted = url.rstrip("/"), json.dumps
    bearer = f"Bearer {bearer_of(vault, place.site)}"
    return f"""\
# Registry of site {place.site}. Put what `dcp registry certificate` prints at {place.bundle},
# and keep this file to yourself: it holds secrets.
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {quoted(place.storage)}}}
  delete: {{enabled: true}}
http:
  addr: {quoted(place.listens)}
  secret: {quoted(upload_secret(vault, place.site))}
  headers: {{X-Content-Type-Options: [nosniff]}}
auth:
  token:
    realm: {quoted(base + TOKEN_PATH)}
    service: {quoted(settings.service)}
    issuer: {quoted(settings.issuer)}
    rootcertbundle: {quoted(place.bundle)}
notifications:
  endpoints:
    - name: dcp
      url: {quoted(base + EVENTS_PATH)}
      headers: {{Authorization: [{quoted(bearer)}]}}
      timeout: 5s
      threshold: 5
      backoff: 2s
      ignore: {{mediatypes: [application/octet-stream]}}
"""


def upload_secret(vault: Vault, site: str) -> str:
    """Return what the registries of a site seal the addresses of uploads with."""
    return vault.derive(f"http secret of site {site}")
