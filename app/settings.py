"""Every setting with its default and meaning; `.env.example` is generated from here."""

import os
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from app import setting_folders
from app.command_names import PROGRAM
from app.errors import SettingsInvalid
from app.setting_names import explain, read_variables
from app.setting_types import (
    Bucket,
    Buckets,
    Folders,
    HeaderSecret,
    ModelPlaces,
    Names,
    Networks,
    Origins,
    Patterns,
    Rate,
    RootPath,
    Secret,
    Tiles,
    Url,
    WebhookSecret,
    Zone,
)

ROOT = setting_folders.data_root()
"""The folder of the data: relative paths in settings and in the database start here."""

DEMO_MODEL_DIR = PROGRAM / "data" / "models" / "demo"
DEMO_CAPTIONER_DIR = PROGRAM / "data" / "models" / "demo-captioner"
BUNDLED_IMAGES = PROGRAM / "data" / "test_images"
TESTING_DATABASE = "image_search_testing"
DATABASE = "image_search"
SEARCH_RATE, UPLOAD_RATE = "100/second", "50/second"
"""Unless given, and only once the service has keys: until then it has a single user."""
IGNORED_NAMES = (
    *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot"),  # NAS systems
    *("$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *("Thumbs.db", "ehthumbs.db", "desktop.ini"),  # operating systems
    *("*.lrdata", "*.photoslibrary/resources", "*.photoslibrary/private"),  # previews of programs
    *("*.aplibrary/Previews", "*.aplibrary/Thumbnails"),
)


class Settings(BaseModel):
    """How the program runs; `load` reads it from the environment and from `.env`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    testing: bool = Field(False, description="1: use the bundled demo model and pictures")
    api_host: str = Field("127.0.0.1", description="address to listen on")
    allow_anonymous: Literal["none", "read"] = Field(
        "none", description="read: anonymous read access to the namespace default, once keys exist"
    )
    api_port: Annotated[int, Field(ge=1, le=65535)] = Field(8000, description="port to listen on")
    root_path: RootPath = Field(
        "",
        description="path prefix under which a proxy serves this, such as /pictures; empty: none",
    )
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        75,
        description="seconds that an idle connection stays open; choose more than your proxy does",
    )
    database_url: str | None = Field(
        None, description="a Postgres with pgvector >= 0.8; empty: the embedded one"
    )
    read_database_url: Names = Field(
        (),
        description="hot standbys of that Postgres, comma-separated, which answer the searches; "
        "empty: it answers them itself",
    )
    postgres_dir: Path = Field(
        Path("data/postgres"), description="where the embedded Postgres keeps its data"
    )
    images_dir: Path = Field(
        Path("data/images"), description="folder of pictures to index at start"
    )
    test_images_dir: Path = Field(BUNDLED_IMAGES, description="the same, with TESTING=1")
    upload_dir: Path = Field(Path("data/uploads"), description="folder of uploaded files")
    test_upload_dir: Path = Field(Path("data/test_uploads"), description="the same, with TESTING=1")
    thumbnail_dir: Path = Field(
        Path("data/thumbnails"), description="cache of thumbnails; may be deleted at any time"
    )
    backup_dir: str | None = Field(
        None,
        description="folder, or s3://bucket/prefix, where a server makes backups by itself, except "
        "with TESTING=1; empty: none are made",
    )
    backup_hours: Annotated[float, Field(gt=0, le=8_760)] = Field(
        24, description="time between two of these backups, in hours"
    )
    backup_keep: Annotated[int, Field(ge=1)] = Field(
        7, description="number of backups kept there, the newest ones"
    )
    clip_model: str | None = Field(
        None,
        description="retrieval, labels, multilingual or best (see docs/models.md), an open_clip "
        "model name, hf-hub:org/name or local-dir:/path; empty: the one that the database was "
        "indexed with, or retrieval if it is new",
    )
    clip_pretrained: str | None = Field(
        None,
        description="its pretrained tag, or the path of a checkpoint; empty: "
        "datacomp_xl_s13b_b90k, or what the preset says",
    )
    collection_models: Names = Field(
        (),
        description="further models that collections may use, preset or model@tag, comma-separated",
    )
    caption_model: str = Field(
        "coca_ViT-B-32@mscoco_finetuned_laion2b_s13b_b90k",
        min_length=1,
        description="writes captions where a collection has the annotator caption on: an open_clip "
        "model with its tag, hf-hub:org/name or local-dir:/path; with CAPTION_URL, the model's "
        "name on that server",
    )
    caption_url: str | None = Field(
        None,
        description="a server with vision chat completions that writes the captions instead, such "
        "as http://host:port/v1; pictures are sent there; empty: none",
    )
    caption_key: HeaderSecret | None = Field(
        None, description="the key for that server; empty: none is sent"
    )
    sentence_models: ModelPlaces = Field(
        (),
        description="sentence models that collections may compare captions by, hf-hub:org/name or "
        "local-dir:/path, comma-separated; they need the extra multilingual",
    )
    region_detector: str | None = Field(
        None,
        description="finds the regions in collections with `regions: detector`: a detection model "
        "of torchvision and the file of its weights, as architecture@file",
    )
    max_resident_models: Annotated[int, Field(ge=1)] = Field(
        2, description="models in memory at a time; the least recently used one is unloaded"
    )
    keep_generations: Annotated[int, Field(ge=0, le=10)] = Field(
        1, description="former generations of vectors kept for a rollback after a reindexing"
    )
    reindex: Literal["no", "auto"] = Field(
        "no",
        description="auto: a server that starts with another CLIP_MODEL reindexes, and changes to "
        "it when that is done; searches go on meanwhile",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where the model runs: auto, cpu, cuda or mps"
    )
    runtime: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="torch, openvino, or auto: the faster of the two, measured once"
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="number format; auto: that of the index, for an empty one the fastest that is "
        "close enough to fp32; int8 needs the extra int8 and an index of its own",
    )
    model_cache_dir: Path = Field(
        Path("data/models/converted"),
        description="cache of models converted for OpenVINO, which also makes later starts fast",
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        32, description="pictures encoded at a time while indexing"
    )
    max_upload_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        25, description="largest request body, except for POST /api/v1/images, in MB (10^6 bytes)"
    )
    max_file_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        200, description="largest single file, wherever it comes from, in MB (10^6 bytes)"
    )
    max_megapixels: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        50,
        description="largest picture, in 10^6 pixels; for a JPEG, those left after decoding has "
        "scaled it down",
    )
    decoding_memory_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1000,
        description="memory that all pictures being decoded may use together, in MB (10^6 bytes)",
    )
    resident_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        256,
        description="memory for 8-bit codes of the vectors (524 bytes each at 512 dimensions, "
        "scale and id included), which searches compare faster than they walk the graph, in MB "
        "(10^6 bytes); 0: none",
    )
    target_recall: Annotated[float, Field(ge=0.5, le=0.999)] = Field(
        0.97,
        description="share of the true nearest that searches by the graph should find: for it the "
        "service chooses `ef_search` of collections by itself, once there are more than 30,000 "
        "vectors and after each doubling, in a pause of 10 seconds between the searches by texts "
        "and sent pictures in the process that does so",
    )
    read_jpeg_2000: bool = Field(
        False,
        description="1: read JPEG 2000; off by default, as its decoder has had more faults than "
        "others",
    )
    read_video: bool = Field(
        False,
        description="1: index videos (MP4, MOV, WebM, MKV, MPEG-TS); needs the package av: see "
        "docs/understanding.md#videos",
    )
    video_interval_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        10,
        description="seconds between two indexed frames of a video, as long as the scene stays the "
        "same",
    )
    video_max_frames: Annotated[int, Field(ge=1, le=1_000)] = Field(
        300,
        description="largest number of indexed frames of a video; in a long one they are further "
        "apart",
    )
    max_archive_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1000, description="largest body of POST /api/v1/images, in MB (10^6 bytes)"
    )
    max_archive_entries: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        description="largest number of pictures in an archive; as many sidecars and other files "
        "may come in addition",
    )
    jwt_secret: Secret | None = Field(
        None,
        description="secret that signs tokens, at least 32 bytes; empty: generated and stored in "
        "the database",
    )
    webhook_secret: WebhookSecret | None = Field(
        None,
        description="secret that signs webhooks: whsec_ and 24 to 64 random bytes in base64; "
        "empty: no webhooks are sent",
    )
    token_hours: Annotated[int, Field(ge=1, le=8_760)] = Field(
        24, description="how long an answer can be rated by its token, in hours"
    )
    signed_url_hours: Annotated[int, Field(ge=1, le=8_760)] = Field(
        24, description="how long the addresses in answers work without the key, in hours"
    )
    feedback_liked: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="how far well-rated pictures may move a query, whose own length is 1"
    )
    feedback_disliked: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25, description="how far badly rated pictures may move a query away from them"
    )
    feedback_cap: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="how far both together may move it"
    )
    feedback_similarity: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.85, description="ratings count for queries with at least this cosine similarity"
    )
    feedback_half_life_days: Annotated[float, Field(gt=0)] = Field(
        180, description="age at which a rating counts half, in days"
    )
    search_rate: Rate | None = Field(
        None,
        description="most searches by one key, and from one address; none: no limit; empty: "
        f"{SEARCH_RATE} once keys exist",
    )
    upload_rate: Rate | None = Field(
        None,
        description="most uploads by one key, and from one address; none: no limit; empty: "
        f"{UPLOAD_RATE} once keys exist",
    )
    max_searches: Annotated[int, Field(ge=1)] = Field(
        64, description="concurrent searches; further ones get 503 at once"
    )
    max_uploads: Annotated[int, Field(ge=1)] = Field(
        32, description="concurrent uploads; further ones get 503 at once"
    )
    cors_origins: Origins = Field(
        (), description="origins whose pages may call the API, https://host[:port] each, or *"
    )
    log_format: Literal["plain", "json"] = Field(
        "plain", description="json: one JSON object per line"
    )
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        None,
        description="lowest level that is logged: debug, info, warning or error; empty: warning on "
        "a terminal, else info",
    )
    keep_gps: bool = Field(
        False, description="1: keep where a picture was taken, from its file or sidecars"
    )
    place_names: bool = Field(
        False,
        description="1: name the city, state and country where a picture was taken, even if the "
        "position itself is not kept; needs the extra places",
    )
    map_tiles: Tiles = Field(
        "",
        description="background tiles of the page's map, https://host/{z}/{x}/{y}.png; their "
        "server learns where pictures were taken; empty: none",
    )
    map_attribution: str = Field(
        "", max_length=200, description="credit for the tiles, shown below the map"
    )
    default_timezone: Zone = Field(
        "UTC",
        description="time zone of pictures whose file does not name one, such as Europe/Lisbon",
    )
    worker: Literal["embedded", "none"] = Field(
        "embedded", description="none: the server runs no jobs; they wait for `make worker`"
    )
    lease_seconds: Annotated[float, Field(ge=1, le=45)] = Field(
        30, description="a worker that is silent for this long loses its batch, in seconds"
    )
    source_dirs: Folders = Field(
        (),
        description=(
            "folders that requests may index besides IMAGE_SEARCH_IMAGES_DIR, comma-separated"
        ),
    )
    ignored_names: Patterns = Field(
        IGNORED_NAMES,
        description="names, or folder/name, to skip in every source; * as in a shell",
    )
    watch_dirs: Folders = Field(
        (), description="folders whose changes are indexed as they happen, comma-separated"
    )
    watch_poll_seconds: Annotated[float, Field(ge=1)] = Field(
        300, description="time between two looks at a watched network disk, in seconds"
    )
    s3_endpoint_url: Url | None = Field(
        None, description="S3 or R2 endpoint; empty: AWS (or R2_ENDPOINT_URL)"
    )
    s3_access_key_id: str | None = Field(
        None, description="its access key; empty: AWS's credential chain (or R2_ACCESS_KEY_ID)"
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, description="its secret key (or R2_SECRET_ACCESS_KEY)"
    )
    s3_bucket: Bucket | None = Field(
        None, description="bucket that requests and commands may read (or R2_BUCKET_NAME)"
    )
    s3_buckets: Buckets = Field(
        (), description="further buckets that they may read, comma-separated"
    )
    s3_region: str = Field("auto", description="its region; R2 has only one, named auto")
    s3_prefix: str = Field(
        "", description="make download-images copies only keys that start with this"
    )
    s3_serve: Literal["presigned", "stream"] = Field(
        "presigned",
        description="how originals in a bucket are served: by presigned URLs, or as a stream "
        "through this server (stream)",
    )
    s3_presign_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        7_200, description="how long a presigned URL is valid, in seconds"
    )
    max_images: Annotated[int, Field(ge=1)] | None = Field(
        None, description="maximum number of objects that make download-images copies; empty: all"
    )
    download_allow: Networks = Field(
        (), description="private networks that URLs may lead to, CIDRs, comma-separated"
    )
    hf_home: str | None = Field(None, description="Hugging Face cache; empty: the library's own")
    hf_endpoint: Url | None = Field(None, description="Hugging Face hub to use; empty: its own")
    hf_hub_offline: bool = Field(False, description="1: never contact the hub, use only the cache")

    @field_validator(
        "postgres_dir",
        "images_dir",
        "test_images_dir",
        "upload_dir",
        "test_upload_dir",
        "thumbnail_dir",
        "model_cache_dir",
    )
    @classmethod
    def _from_root(cls, path: Path) -> Path:
        return Path(os.path.abspath(ROOT / path.expanduser()))  # noqa: PTH100  # keeps links

    @field_validator("backup_dir")
    @classmethod
    def _folder_or_bucket(cls, place: str | None) -> str | None:
        if place is None or place.startswith("s3://"):
            return place
        return str(cls._from_root(Path(place)))

    @field_validator("s3_secret_access_key")
    @classmethod
    def _both_keys(cls, secret: SecretStr | None, read: ValidationInfo) -> SecretStr | None:
        if (secret is None) != (read.data.get("s3_access_key_id") is None):
            raise ValueError("set it and S3_ACCESS_KEY_ID, or neither of the two")
        return secret

    @field_validator("source_dirs", "watch_dirs")
    @classmethod
    def _all_from_root(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(map(cls._from_root, paths))

    @property
    def address(self) -> str:
        """The URL of the server."""
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"http://{host}:{self.api_port}"

    @property
    def zone(self) -> tzinfo:
        """The time zone of DEFAULT_TIMEZONE."""
        return UTC if self.default_timezone == "UTC" else ZoneInfo(self.default_timezone)

    @property
    def source_dir(self) -> Path:
        """The folder to index at start."""
        return self.test_images_dir if self.testing else self.images_dir

    @property
    def storage_dir(self) -> Path:
        """The folder of uploaded files: each database has its own."""
        return self.test_upload_dir if self.testing else self.upload_dir

    @property
    def database_name(self) -> str:
        """The database in the embedded server; demo embeddings have one of their own."""
        return TESTING_DATABASE if self.testing else DATABASE

    @staticmethod
    def default_env_file() -> Path:
        """The one that the variable ENV_FILE names, else `.env`, which may be missing.

        Raises SettingsInvalid if ENV_FILE names one that is missing.
        """
        named = os.environ.get("ENV_FILE")
        if named and not Path(named).exists():
            raise SettingsInvalid(f"Settings: ENV_FILE={named}: there is no such file.")
        return Path(named) if named else setting_folders.env_file()

    @classmethod
    def load(cls, env_file: Path | None = None) -> Self:
        """Read the environment and `env_file`, by default `default_env_file`.

        Raises SettingsInvalid naming each variable that is unknown, malformed or contradicted.
        """
        variables = read_variables(cls.model_fields, env_file or cls.default_env_file())
        try:
            return cls.model_validate({field: one.value for field, one in variables.items()})
        except ValidationError as error:
            raise SettingsInvalid(explain(error, variables)) from None
