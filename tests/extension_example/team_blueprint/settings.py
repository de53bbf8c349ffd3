"""The keys under `extension:` of a spec that names this blueprint."""

from typing import Annotated

from pydantic import Field

from blueprints.spec import Section


class Settings(Section):
    """What the team's server needs to be found."""

    tracking_url: Annotated[str, Field(pattern=r"^https?://\S+$")] = "http://127.0.0.1:5000"
    """Address of the team's MLflow server."""
    account: Annotated[str, Field(min_length=1)] = "modelyard"
    """Account there that this environment uses; its password is generated here."""
