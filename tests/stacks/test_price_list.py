"""``cost update``: the real SDK against a real HTTP server that answers as the AWS Price List API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from blueprints.errors import ExitCode, Problem
from blueprints.pricebook import Price, Query
from blueprints.spec import EnvironmentSpec
from stacks.costs import book_of
from stacks.price_list import SOURCE, _products, refresh
from stacks.project import Project

Product = dict[str, Any]


def product(
    service: str, usage: str, *tiers: tuple[str, str], region: str = "eu-central-1", **attributes: str
) -> Product:
    """A product as the API lists one, with its on-demand terms; ``tiers`` are (from, USD)."""
    dimensions = {
        f"SKU.TERM.{place}": {
            "unit": "Hrs",
            "beginRange": begin,
            "endRange": "Inf",
            "pricePerUnit": {"USD": amount},
            "appliesTo": [],
        }
        for place, (begin, amount) in enumerate(tiers)
    }
    field = attributes.pop("region_field", "regionCode")
    return {
        "serviceCode": service,
        "product": {
            "sku": "SKU",
            "productFamily": attributes.pop("productFamily", ""),
            "attributes": {field: region, "usagetype": usage, **attributes},
        },
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}, "Reserved": {}},
    }


NAT = {"productFamily": "NAT Gateway"}
CATALOG = [
    product("AmazonEC2", "EUC1-NatGateway-Bytes", ("0", "0.0520000000"), **NAT),
    product("AmazonEC2", "EUC1-Outposts-NatGateway-Hours", ("0", "0.9"), **NAT),
    product("AmazonEC2", "EUC1-NatGateway-Hours", ("0", "0.0530000000"), **NAT),
    product("AmazonEC2", "USE1-NatGateway-Hours", ("0", "0.0450000000"), region="us-east-1", **NAT),
    product("AmazonS3", "EUC1-Requests-Tier1", ("0", "0.0000054000"), productFamily="API Request"),
    product(
        "AWSDataTransfer",
        "EUC1-DataTransfer-Out-Bytes",
        ("10240", "0.0850000000"),
        ("0", "0.0900000000"),
        region_field="fromRegionCode",
        transferType="AWS Outbound",
    ),
    # Not taken: a thousand times the book's price, and two that fit.
    product("awskms", "eu-central-1-KMS-Keys", ("0", "1000"), productFamily="Encryption Key"),
    product("AmazonECR", "EUC1-TimedStorage-ByteHrs", ("0", "0.10")),
    product("AmazonECR", "EUC1-TimedStorage-ByteHrs", ("0", "0.11")),
    product("AmazonEC2", "APS3-NatGateway-Hours", ("0", "0.0560000000"), region="ap-south-1", **NAT),
]


class PriceList(BaseHTTPRequestHandler):
    """GetProducts over JSON 1.1: filters by exact match, one product a page."""

    asked: ClassVar[list[dict[str, Any]]] = []
    refusal: ClassVar[str] = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
        self.asked.append(body)
        if self.refusal:
            self._answer(400, {"__type": self.refusal, "message": "no"})
            return
        found = [each for each in CATALOG if self._fits(each, body)]
        start = int(body.get("NextToken") or 0)
        page: dict[str, Any] = {
            "FormatVersion": "aws_v1",
            "PriceList": [json.dumps(p) for p in found[start:][:1]],
        }
        if start + 1 < len(found):
            page["NextToken"] = str(start + 1)
        self._answer(200, page)

    def _fits(self, each: Product, body: dict[str, Any]) -> bool:
        has = {**each["product"]["attributes"], "productFamily": each["product"]["productFamily"]}
        return each["serviceCode"] == body["ServiceCode"] and all(
            has.get(one["Field"]) == one["Value"] for one in body["Filters"]
        )

    def _answer(self, status: int, data: object) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[PriceList]]:
    """The stand-in API, and an account that may use it; nothing of the machine's own AWS settings."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), PriceList)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{server.server_port}")
    PriceList.asked, PriceList.refusal = [], ""
    yield PriceList
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())


def known(project: Project, key: str, region: str = "eu-central-1") -> Price:
    found = book_of(project).price(key, region)
    assert found is not None
    return found


def test_prices_are_taken_from_all_pages_in_the_books_units(aws: type[PriceList], project: Project) -> None:
    assert known(project, "nat.hour").approximate
    found = refresh(project, "eu-central-1")
    assert found.taken == {"nat.hour": 0.053, "nat.gb": 0.052, "s3.writes": 0.0054, "transfer.out": 0.09}
    price = known(project, "nat.hour")
    assert (price.amount, price.unit, price.source, price.approximate) == (0.053, "hour", SOURCE, False)
    assert price.date == datetime.now(UTC).date()
    assert known(project, "nat.hour", "us-east-1").source != SOURCE
    asked = next(body for body in aws.asked if body["ServiceCode"] == "AmazonEC2" and "NextToken" in body)
    assert {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-central-1"} in asked["Filters"]


def test_what_does_not_fit_is_left_and_says_why(aws: type[PriceList], project: Project) -> None:
    before = known(project, "kms.key")
    left = refresh(project, "eu-central-1").left
    assert "too far" in left["kms.key"]
    assert "2 different prices" in left["ecr.storage"]
    assert "no such product" in left["alb.hour"]
    assert "no query" in left["eks.hour"] or "no such product" in left["eks.hour"]
    assert known(project, "kms.key") == before


def test_a_region_that_the_book_has_not_comes_in(aws: type[PriceList], project: Project) -> None:
    assert "ap-south-1" not in book_of(project).regions()
    assert refresh(project, "ap-south-1").taken == {"nat.hour": 0.056}
    assert "ap-south-1" in book_of(project).regions()


def test_again_is_the_same_and_what_a_person_wrote_stays(aws: type[PriceList], project: Project) -> None:
    mine = {"prices": {"eu-central-1": 0.02}, "source": "our contract", "date": "2026-10-01"}
    file = project.root / "prices.yaml"
    file.write_text(
        yaml.safe_dump({"version": 1, "date": "2026-10-01", "entries": {"nat.hour": {"quotes": [mine]}}})
    )
    refresh(project, "eu-central-1")
    first = file.read_text()
    refresh(project, "eu-central-1")
    refresh(project, "ap-south-1")
    assert file.read_text().count("our contract") == first.count("our contract") == 1
    assert file.read_text().count(SOURCE) == first.count(SOURCE) + 1
    assert (known(project, "nat.hour").amount, known(project, "nat.gb").amount) == (0.02, 0.052)


@pytest.mark.parametrize(
    ("refusal", "what", "code"),
    [
        ("ExpiredTokenException", "have expired", ExitCode.FAILED),
        ("UnrecognizedClientException", "does not know these credentials", ExitCode.FAILED),
        ("AccessDeniedException", "may not read prices", ExitCode.FAILED),
        ("ThrottlingException", "fewer calls", ExitCode.RETRY),
        ("SomethingElse", "AWS refused: SomethingElse", ExitCode.FAILED),
    ],
)
def test_a_refusal_is_one_clear_problem_and_writes_nothing(
    aws: type[PriceList], project: Project, refusal: str, what: str, code: ExitCode
) -> None:
    aws.refusal = refusal
    with pytest.raises(Problem, match=what) as caught:
        refresh(project, "eu-central-1")
    assert caught.value.code is code
    assert "secret-of-the-test" not in str(caught.value)
    assert not (project.root / "prices.yaml").exists()


def test_no_credentials_no_network_no_such_region(
    aws: type[PriceList], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Problem, match="is no region"):
        refresh(project, "Frankfurt")
    with pytest.raises(Problem, match="AWS has no price of xx-nowhere-1"):
        refresh(project, "xx-nowhere-1")
    # Nothing listens on the port that was just given back.
    with ThreadingHTTPServer(("127.0.0.1", 0), PriceList) as gone:
        port = gone.server_port
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{port}")
        with pytest.raises(Problem, match="cannot be reached") as caught:
            refresh(project, "eu-central-1")
        assert caught.value.code is ExitCode.RETRY
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Problem, match="no AWS credentials"):
        refresh(project, "eu-central-1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Problem, match="cannot be used"):
        refresh(project, "eu-central-1")
    assert not (project.root / "prices.yaml").exists()


def test_a_damaged_file_is_told_and_left(aws: type[PriceList], project: Project) -> None:
    file = project.root / "prices.yaml"
    file.write_text("version: 1\nentries: [\n")
    with pytest.raises(Problem, match="damaged"):
        refresh(project, "eu-central-1")
    assert file.read_text() == "version: 1\nentries: [\n"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Problem, match="damaged"):
        book_of(project)


def test_the_call_and_its_answer_fit_the_services_own_model() -> None:
    import boto3
    from botocore.stub import Stubber

    client = boto3.client("pricing", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    asked = {
        "ServiceCode": "AmazonEC2",
        "FormatVersion": "aws_v1",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "productFamily", "Value": "NAT Gateway"},
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-central-1"},
        ],
    }
    with Stubber(client) as stub:
        one, two = ({"FormatVersion": "aws_v1", "PriceList": [json.dumps(each)]} for each in CATALOG[:2])
        stub.add_response("get_products", {**one, "NextToken": "2"}, asked)
        stub.add_response(
            "get_products", {**two, "PriceList": [*two["PriceList"], "{"]}, {**asked, "NextToken": "2"}
        )
        query = Query(service="AmazonEC2", filters={"productFamily": "NAT Gateway"})
        assert list(_products(client, query, "eu-central-1")) == CATALOG[:2]
        stub.assert_no_pending_responses()
