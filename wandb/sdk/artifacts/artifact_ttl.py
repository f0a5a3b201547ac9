"""`ArtifactTTL`: what an artifact's `ttl` can be beside a duration."""

from enum import Enum


class ArtifactTTL(Enum):
    """INHERIT: what the team has agreed on."""

    INHERIT = 0
