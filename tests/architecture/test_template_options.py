"""What template.yaml makes of the parameters that a stack can do without."""

from typing import Any

from architecture.resolving import Resolved

CERTIFICATE = "arn:aws:acm:r:1:certificate/c"


def kinds(stack: Resolved) -> set[str]:
    return {each["Type"] for each in stack.resources.values()}


def test_no_resource_of_an_option_is_made_by_default() -> None:
    assert not kinds(Resolved()) & {
        "AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::ApiMapping", "AWS::Route53::RecordSet",
    }  # fmt: skip
    assert Resolved().refusals() == []


# --- a domain name of its own


def with_domain(**more: str) -> Resolved:
    return Resolved(DomainName="atomic.example.com", CertificateArn=CERTIFICATE, **more)


def test_without_a_domain_the_api_has_the_gateways_name() -> None:
    stack = Resolved()
    assert stack.variables["ATOMIC_PUBLIC_URL"] == "https://<HttpApi>.execute-api.r.amazonaws.com"
    assert stack.outputs["Url"] == "<HttpApi.ApiEndpoint>"
    assert stack.resources["HttpApi"]["Properties"]["DisableExecuteApiEndpoint"] is False
    assert "DomainTarget" not in stack.outputs


def test_a_domain_is_what_endpoints_callers_and_the_dashboard_are_told() -> None:
    stack = with_domain()
    assert stack.variables["ATOMIC_PUBLIC_URL"] == stack.outputs["Url"] == "https://atomic.example.com"
    assert stack.outputs["StatusUrl"] == "https://atomic.example.com/dashboard"
    assert stack.outputs["DomainTarget"] == "<ApiDomain.RegionalDomainName>"
    domain = stack.resources["ApiDomain"]["Properties"]
    [configuration] = domain["DomainNameConfigurations"]
    assert (domain["DomainName"], configuration["CertificateArn"]) == ("atomic.example.com", CERTIFICATE)
    assert configuration["SecurityPolicy"] == "TLS_1_2"
    mapping: dict[str, Any] = stack.resources["ApiDomainMapping"]["Properties"]
    # The whole domain leads to the API: paths are the same under both names.
    assert mapping == {"ApiId": "<HttpApi>", "DomainName": "<ApiDomain>", "Stage": "<HttpApiStage>"}
    assert "AWS::Route53::RecordSet" not in kinds(stack)


def test_another_url_that_endpoints_use_comes_before_the_domain() -> None:
    """Such as that of a CDN before the domain."""
    stack = with_domain(PublicUrl="https://cdn.example.com")
    assert stack.variables["ATOMIC_PUBLIC_URL"] == "https://cdn.example.com"


def test_a_zone_gets_the_record() -> None:
    record = with_domain(HostedZoneId="Z1").resources["ApiDomainRecord"]["Properties"]
    assert (record["HostedZoneId"], record["Name"], record["Type"]) == ("Z1", "atomic.example.com", "A")
    assert record["AliasTarget"] == {
        "DNSName": "<ApiDomain.RegionalDomainName>",
        "HostedZoneId": "<ApiDomain.RegionalHostedZoneId>",
    }


def test_the_gateways_own_name_may_be_closed() -> None:
    stack = with_domain(DefaultEndpoint="false")
    assert stack.resources["HttpApi"]["Properties"]["DisableExecuteApiEndpoint"] is True


def test_half_a_domain_is_refused_before_anything_is_made() -> None:
    assert Resolved(DomainName="a.example").refusals() == ["DomainName needs CertificateArn"]
    for half in ({"CertificateArn": CERTIFICATE}, {"HostedZoneId": "Z1"}, {"DefaultEndpoint": "false"}):
        [refusal] = Resolved(**half).refusals()
        assert refusal.endswith("need DomainName")
    assert with_domain(HostedZoneId="Z1", DefaultEndpoint="false").refusals() == []
