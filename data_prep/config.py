"""The profile's `data` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from common.section import Section

LONGEST_NAME = 4096  # of a path, on Linux
INDONESIAN_SUBSETS = ("wikipedia_id", "indo_puisi", "wikihow", "safety_prompt", "dolly", "identity_prompt")


class BundledConfig(Section):
    """Sizes of what the `inputs` stage makes when something is `embedded`. The defaults serve the profile `mini`."""

    rows: int = Field(default=8000, ge=500, le=1_000_000, description="unique usable instruction rows to write")
    vocabulary: int = Field(
        default=1536, ge=512, le=65_536, description="size of the byte-level BPE vocabulary, special tokens included"
    )
    encoder: Literal["shipped", "fresh"] = Field(
        default="shipped",
        description="the sentence encoder that comes with the project, or one trained here from the seed",
    )
    encoder_width: int = Field(
        default=128, ge=32, le=4096, multiple_of=32, description="width of the small BERT encoder"
    )
    encoder_layers: int = Field(default=2, ge=1, le=64, description="layers of the small BERT encoder")
    encoder_steps: int = Field(default=48, ge=0, le=1_000_000, description="contrastive training steps of the encoder")
    base: Literal["shipped", "fresh"] = Field(
        default="shipped", description="the base that comes with the project, or one pretrained here from the seed"
    )
    base_width: int = Field(default=128, ge=32, le=4096, multiple_of=32, description="d_model of the small LLaDA base")
    base_layers: int = Field(default=7, ge=1, le=64, description="n_layers of the small LLaDA base")
    base_heads: int = Field(
        default=4,
        ge=1,
        le=128,
        description="n_heads of the small LLaDA base; base_width is shared by them in even parts",
    )
    base_mlp_width: int = Field(default=192, ge=32, le=65_536, description="mlp_hidden_size of the small LLaDA base")
    base_steps: int = Field(
        default=4000, ge=0, le=1_000_000, description="pretraining steps of the small LLaDA base on plain text"
    )

    @model_validator(mode="after")
    def _shipped_encoder_is_as_it_is(self) -> BundledConfig:
        """Its sizes are the defaults. Another size that were not heeded would change nothing, without a word."""
        for key in ("vocabulary", "encoder_width", "encoder_layers", "encoder_steps"):
            shipped, asked = type(self).model_fields[key].default, getattr(self, key)
            if self.encoder == "shipped" and asked != shipped:
                raise ValueError(
                    f"data.embedded.{key}: {asked}, but the encoder that comes with the project has {shipped}; "
                    "set data.embedded.encoder: fresh, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> BundledConfig:
        if self.base_width % (2 * self.base_heads):
            raise ValueError(
                f"data.embedded.base_heads: {self.base_heads} heads cannot share base_width: {self.base_width}; "
                "the width of each must be whole and even"
            )
        return self


class LeakageConfig(Section):
    """Thresholds of the leakage audit (test and validation against training)."""

    answer_words: int = Field(
        default=8, ge=1, le=10_000, description="an answer of at least so many words may not occur on both sides"
    )
    shingle_words: int = Field(
        default=13, ge=2, le=1000, description="length of the word shingles that may not be shared"
    )
    jaccard: float = Field(
        default=0.8, gt=0, le=1, description="MinHash near-duplicates at or above this similarity are leaks"
    )
    max_twins: int = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description="a test row with more twins outside its group is replaced; fewer twins are not trained on",
    )
    cosine: float | None = Field(
        default=None, gt=0, le=1, description="embedding cosine at or above this is a leak; null: not used"
    )


class QualityConfig(Section):
    """The quality gate on the sampled rows. Off by default: the original study had none."""

    language: tuple[Literal["id", "ms", "jv", "su", "en", "other"], ...] | None = Field(
        default=None, min_length=1, description="languages to keep, e.g. [id, ms]; null: the language is not judged"
    )
    encoding_damage: bool = Field(
        default=False, description="drop rows with replacement characters (U+FFFD) or mojibake"
    )
    boilerplate: bool = Field(
        default=False, description="drop rows whose answer is page furniture or the same lines again and again"
    )


class DataConfig(Section):
    """Which rows, how many, how they are embedded, clustered, split and formatted."""

    source: str = Field(
        "embedded",
        min_length=1,
        max_length=LONGEST_NAME,
        description="embedded | hub dataset id | folder or glob of parquet, JSON or CSV files",
    )
    revision: str | None = Field(None, min_length=1, description="hub revision of the dataset (commit, tag or branch)")
    split: str = Field("train", min_length=1, description="which split's files of a hub dataset are read")
    files: str | None = Field(
        None,
        description="pattern of the files to read within a hub dataset, instead of split; or its card's configuration",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="our column -> the source's, where they differ; or =text, or a template of its columns in braces",
    )
    subsets: tuple[str, ...] = Field(INDONESIAN_SUBSETS, min_length=1, description="values of subset_name to keep")
    deduplicate: bool = Field(True, description="drop rows whose normalised (input, output) was seen before")
    sample_fraction: float = Field(0.03, gt=0, le=1, description="share kept by the sample stratified by template_name")
    quality: QualityConfig = QualityConfig()
    runner: Literal["local", "ray"] = Field("local", description="daft's runner")

    encoder: str = Field(
        "embedded", min_length=1, max_length=LONGEST_NAME, description="embedded | hub model id | folder"
    )
    encoder_revision: str | None = Field(None, min_length=1, description="hub revision of the encoder")
    embed_text: Literal["input", "output", "both"] = Field("input", description="text that is embedded")
    embed_batch_size: int = Field(64, ge=1, le=65_536, description="rows per embedding batch")

    clusters: int = Field(10, ge=1, le=100_000, description="K of K-Means")
    kmeans_init: Literal["k-means++", "random"] = Field("k-means++", description="initialisation of K-Means")
    kmeans_n_init: int = Field(10, ge=1, le=1000, description="restarts of K-Means, the best kept")
    kmeans_minibatch: bool = Field(False, description="mini-batch K-Means, for millions of rows")
    umap_sample: int = Field(5000, ge=10, le=1_000_000, description="rows in the UMAP picture")

    per_cluster: int = Field(
        1000, ge=1, le=100_000_000, description="rows taken per cluster; a short one is topped up from the others"
    )
    quota: Literal["equal", "proportional", "sqrt"] = Field(
        "equal", description="how rows are shared among the clusters"
    )
    test_pool: int = Field(394, ge=1, le=100_000_000, description="rows from which the test set is drawn")
    test_size: int = Field(100, ge=1, le=100_000_000, description="rows of the test set")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="share of the clusters' rows used for validation")
    leakage: LeakageConfig = LeakageConfig()

    max_length: int = Field(512, ge=16, le=65_536, description="tokens of prompt and answer together")
    overlong: Literal["truncate_answer", "truncate_prompt", "drop"] = Field(
        "truncate_answer", description="what happens to rows over max_length; all are counted"
    )
    system_prompt: str | None = Field(None, description="system message before each prompt")

    embedded: BundledConfig = BundledConfig()
