"""The settings: one typed class, read from the environment, then from `sim-mcp.toml`.

Nothing else in the project reads the environment. An unknown `SIM_MCP_*` variable, or an unknown
key of the file, is an error that names the nearest right one: a misspelt limit must not be ignored.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.principal import PERMISSIONS, Permission

PREFIX = "SIM_MCP_"
CONFIG_FILE = "sim-mcp.toml"
CLIENT_PLACES = ("APPDATA", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR")
TRACE_COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DEFAULT_SIM_BASE_URL = "https://www.sim.ai"

Words = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list in the environment; a list in the file."""


def _default_data_dir() -> Path:
    return user_data_path("sim-mcp", appauthor=False)


class Settings(BaseSettings):
    """Every setting with unit, range and default. Immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Directory of the database file and the encryption key file of the embedded mode.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`sqlite:///PATH`, or `postgresql://user:password@host/name` (extra `postgres`); when "
        "absent, `sim-mcp.db` in the data directory.",
    )
    encryption_keys: SecretStr | None = Field(
        default=None,
        description="Comma-separated base64url 32-byte keys, newest first; when absent, the key file "
        "`encryption.key` in the data directory, created on first use.",
    )
    sim_base_url: str = Field(
        default=DEFAULT_SIM_BASE_URL, description="The SIM instance of tenants that name none."
    )
    sim_allowed_hosts: Words = Field(
        default=(),
        description="Host patterns (`sim.internal`, `*.corp.example`, `127.0.0.1:3000`) that a SIM base URL "
        "may name although they are not public https hosts.",
    )
    tool_specs: Path | None = Field(
        default=None, description="Directory of tool specs, read at start and watched while serving."
    )
    tenant_id: str = Field(default="default", min_length=1, description="Who a stdio session is.")
    organization_id: str | None = Field(default=None, description="Organisation of a stdio session.")
    permissions: Words = Field(
        default=PERMISSIONS,
        description="Permissions of a stdio session, comma-separated.",
    )
    sim_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("SIM_API_KEY", "sim_api_key"),
        description="`SIM_API_KEY`, stdio and `call` only: the SIM key of this process, never written down.",
    )
    auth_jwt_secret: SecretStr | None = Field(
        default=None, description="Secret that verifies HS256 bearer tokens; at least 32 bytes."
    )
    auth_jwks_url: str | None = Field(
        default=None,
        description="URL of the identity provider's public keys (JWK Set), which verify RS256, ES256 and "
        "EdDSA bearer tokens; https, or http on a loopback host. Needs `SIM_MCP_AUTH_AUDIENCE`.",
    )
    auth_issuer: str | None = Field(default=None, description="Required `iss` of a token, when set.")
    auth_audience: str | None = Field(
        default=None,
        description="Required `aud` of a token, when set; required with a JWKS URL. By RFC 8707 it is the "
        "URL of the MCP endpoint.",
    )
    auth_claim_tenant: str = Field(
        default="tenantId",
        min_length=1,
        description="Claim that names the tenant; `a.b` is claim `b` inside claim `a`, here and below.",
    )
    auth_claim_organization: str = Field(
        default="organizationId", min_length=1, description="Claim of the organisation."
    )
    auth_claim_subject: Words = Field(
        default=("sub", "id"), min_length=1, description="Claims that may name the caller, in order."
    )
    auth_claim_permissions: str = Field(
        default="permissions",
        min_length=1,
        description="Claim that lists permissions: an array of names, or a text with spaces between them "
        "(`scope`).",
    )
    auth_claim_role: str = Field(default="role", min_length=1, description="Claim of the role.")
    auth_role_permissions: dict[str, list[str]] = Field(
        default_factory=lambda: {role: list(PERMISSIONS) for role in ("SUPER_ADMIN", "ADMIN")},
        description="JSON: permissions of each role, for tokens that carry only a role.",
    )
    public_url: str | None = Field(
        default=None, description="URL under which clients reach this server; its host is allowed."
    )
    allowed_hosts: Words = Field(
        default=(), description="Further `Host` header values that HTTP requests may carry."
    )
    allowed_origins: Words = Field(
        default=(), description="Browser origins that may call the HTTP doors; none by default."
    )
    call_patience_s: float = Field(
        default=45.0,
        ge=1,
        le=3600,
        description="Seconds that a tool call without progress reporting holds the client before it "
        "answers `still running` (1 to 3600).",
    )
    audit_durability: Literal["process", "power"] = Field(
        default="process",
        description="What the rows of an embedded database survive once they are written: `process` = the "
        "death of the process; `power` = also that of the machine, for a sync of the disk with each write. "
        "PostgreSQL decides by its own `synchronous_commit`.",
    )
    retention_days: int = Field(
        default=90,
        ge=0,
        description="Days after which what ended (executions, jobs, events) is purged; 0 = never.",
    )
    retention_archive_dir: Path | None = Field(
        default=None,
        description="Directory to which executions are written (gzip NDJSON, a folder for each tenant) "
        "before they are purged; none: they are only deleted",
    )
    rate_per_minute: int = Field(
        default=120, ge=1, le=100_000, description="Calls that one tenant may start in a minute."
    )
    max_concurrency: int = Field(
        default=16, ge=1, le=10_000, description="Calls of one tenant that may run at the same time."
    )
    monthly_executions: int | None = Field(
        default=None, ge=1, description="Runs that one tenant may start in a calendar month (UTC)."
    )
    cost_per_day: float | None = Field(
        default=None,
        gt=0,
        description="What one tenant's runs may cost in a day (UTC), in SIM's unit, by SIM's own word.",
    )
    redact_keys: Words = Field(
        default=(), description="Further input names whose values are never stored or shown."
    )
    metrics_tenants: bool = Field(
        default=True,
        description="Whether `/metrics` names tenants (at most 1000; the others are counted as one).",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged; always to stderr."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="`text`, `json`, or `auto`: text on a terminal, else JSON."
    )

    @field_validator(
        "sim_allowed_hosts",
        "permissions",
        "auth_claim_subject",
        "allowed_hosts",
        "allowed_origins",
        "redact_keys",
        mode="before",
    )
    @classmethod
    def _split_words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("permissions")
    @classmethod
    def _know_permissions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [word for word in value if word not in PERMISSIONS]:
            raise ValueError(f"unknown permission {wrong[0]!r}; known are {', '.join(sorted(PERMISSIONS))}")
        return value

    @field_validator("auth_jwt_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("is shorter than 32 bytes, which anyone can guess; use a longer secret")
        if value is not None and value.get_secret_value().lstrip().startswith("-----BEGIN"):
            raise ValueError(
                "is a key of a key pair, no shared secret; name its set in SIM_MCP_AUTH_JWKS_URL"
            )
        return value

    @field_validator("auth_role_permissions")
    @classmethod
    def _know_role_permissions(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        known = {permission.value for permission in Permission}
        if wrong := sorted({name for names in value.values() for name in names} - known):
            raise ValueError(f"unknown permission {wrong[0]!r}; known are {', '.join(sorted(known))}")
        return value

    @field_validator("auth_jwks_url")
    @classmethod
    def _safe_keys_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        is_local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
        if not parts.hostname or not (parts.scheme == "https" or is_local):
            raise ValueError(
                "must begin with https:// (http:// only on this machine: keys decide who is let in)"
            )
        if "@" in parts.netloc or parts.fragment:
            raise ValueError("must carry neither a user name nor a fragment")
        return value

    @model_validator(mode="after")
    def _audience_of_keys(self) -> Settings:
        if self.auth_jwks_url is not None and not self.auth_audience:
            resource = (self.public_url or "https://mcp.example.com").rstrip("/") + "/mcp"
            raise ValueError(
                "auth_audience is required with SIM_MCP_AUTH_JWKS_URL, because the provider signs tokens for "
                f"others too; set it to the URL of this resource, like {resource}"
            )
        return self

    @model_validator(mode="after")
    def _absolute_url(self) -> Settings:
        for name in ("sim_base_url", "public_url"):
            url = cast("str | None", getattr(self, name))
            if url is not None and not url.lower().startswith(("http://", "https://")):
                raise ValueError(f"{name} must begin with https:// (or http:// for a listed host)")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what is passed in, which is the configuration file's content."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def store_url(self) -> str:
        """The database URL in force."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir / 'sim-mcp.db'}"
        return self.database_url.get_secret_value()

    @property
    def key_file(self) -> Path:
        """Where the embedded mode keeps its encryption key."""
        return self.data_dir / "encryption.key"


def load_settings(config: Path | None = None) -> Settings:
    """Read the settings: environment first, then `config`, or `sim-mcp.toml` in the working directory.

    Raises:
        InvalidInput: a faulty or unknown setting; each fault names the variable and the remedy,
            and never shows the value.
    """
    content = _read_file(config)
    _refuse_unknown(content, config)
    try:
        return Settings(**content)
    except ValidationError as error:
        faults = tuple(
            Fault(path=_variable(item["loc"], item["msg"]), message=item["msg"].removeprefix("Value error, "))
            for item in error.errors(include_input=False, include_url=False)
        )
        lines = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        raise InvalidInput(f"The settings are not valid. {lines}", faults=faults) from None


def known_variables() -> dict[str, str]:
    """Every environment variable with its description, for `--help`, docs and the unknown-name check."""
    return {
        ("SIM_API_KEY" if name == "sim_api_key" else PREFIX + name.upper()): field.description or ""
        for name, field in Settings.model_fields.items()
    }


def wants_traces() -> bool:
    """Whether OpenTelemetry's own variables name a collector."""
    return any(os.environ.get(name) for name in TRACE_COLLECTORS)


def client_places() -> dict[str, str]:
    """What moves other programs' configuration files, as far as it is set; no setting of ours."""
    return {name: os.environ[name] for name in CLIENT_PLACES if name in os.environ}


def _read_file(config: Path | None) -> dict[str, Any]:
    path = config or Path(CONFIG_FILE)
    if config is None and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"The settings file {str(path)!r} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The settings file {str(path)!r} is not valid TOML: {error}.") from error


def _refuse_unknown(content: Mapping[str, Any], config: Path | None) -> None:
    known = known_variables()
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise InvalidInput(f"The environment variable {name} is unknown{_nearest(name, list(known))}")
    for key in content:
        if key not in Settings.model_fields or key == "sim_api_key":
            where = str(config or CONFIG_FILE)
            raise InvalidInput(
                f"The key {key!r} in {where!r} is unknown{_nearest(key, list(Settings.model_fields))}"
            )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; docs/settings.md lists the known ones."


def _variable(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        named = (word for word in message.split() if word in Settings.model_fields)
        return next((PREFIX + word.upper() for word in named), "settings")
    name = str(location[0])
    return name if name == "SIM_API_KEY" else PREFIX + name.upper()
