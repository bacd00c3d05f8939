"""Rules for template-edge.yaml, CloudFront and WAF in front of a stack."""

from typing import Any

from atomic.entrypoints.http_api.routes import ROUTES
from stack_template import PATH, RESOURCES, loaded

EDGE = loaded(PATH.with_name("template-edge.yaml"))["Resources"]
DISTRIBUTION = EDGE["Distribution"]["Properties"]["DistributionConfig"]
FIREWALL = EDGE["Firewall"]["Properties"]
# Of AWS, by the same ids in all accounts.
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"


def test_a_long_wait_passes() -> None:
    gateway_ms = RESOURCES["HttpApiIntegration"]["Properties"]["TimeoutInMillis"]
    [origin] = DISTRIBUTION["Origins"]
    # CloudFront allows 60 s without asking for more.
    assert gateway_ms / 1000 < origin["CustomOriginConfig"]["OriginReadTimeout"] <= 60


def test_every_request_reaches_the_api_as_it_was_sent() -> None:
    behavior = DISTRIBUTION["DefaultCacheBehavior"]
    assert "CacheBehaviors" not in DISTRIBUTION
    assert behavior["CachePolicyId"] == CACHING_DISABLED
    assert behavior["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST
    assert behavior["ViewerProtocolPolicy"] == "https-only"
    assert {route.method for route in ROUTES} | {"HEAD", "OPTIONS"} <= set(behavior["AllowedMethods"])


def test_no_rule_refuses_a_payload_or_a_name() -> None:
    groups: dict[str, Any] = {
        group["Name"]: group
        for rule in FIREWALL["Rules"]
        if (group := rule["Statement"].get("ManagedRuleGroupStatement"))
    }
    counted = {
        name: {
            each["Name"]
            for each in group.get("RuleActionOverrides", [])
            if each["ActionToUse"] == {"Count": {}}
        }
        for name, group in groups.items()
    }
    # The rules of these groups that judge bodies, and what is asked for in queries: `workflowName` and
    # `keyPrefix` may be any text (AWS WAF developer guide, baseline rule groups).
    assert counted["AWSManagedRulesCommonRuleSet"] >= {
        "SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY", "GenericRFI_BODY",
        "EC2MetaDataSSRF_BODY",
        "SizeRestrictions_QUERYSTRING", "CrossSiteScripting_QUERYARGUMENTS", "GenericLFI_QUERYARGUMENTS",
        "GenericRFI_QUERYARGUMENTS", "EC2MetaDataSSRF_QUERYARGUMENTS",
        "RestrictedExtensions_QUERYARGUMENTS",
    }  # fmt: skip
    assert counted["AWSManagedRulesKnownBadInputsRuleSet"] >= {
        "Log4JRCE_BODY",
        "JavaDeserializationRCE_BODY",
    }
    assert groups.keys() - counted.keys() == set()


def test_one_address_has_a_rate_and_is_told_to_wait() -> None:
    [rate] = [rule for rule in FIREWALL["Rules"] if "RateBasedStatement" in rule["Statement"]]
    assert rate["Priority"] == min(rule["Priority"] for rule in FIREWALL["Rules"])
    assert rate["Statement"]["RateBasedStatement"]["Limit"] == {"Ref": "RequestsPerMinute"}
    assert rate["Statement"]["RateBasedStatement"]["EvaluationWindowSec"] == 60
    answer = rate["Action"]["Block"]["CustomResponse"]
    assert (answer["ResponseCode"], answer["ResponseHeaders"][0]["Name"]) == (429, "retry-after")


def test_no_key_and_no_token_is_logged() -> None:
    redacted = EDGE["FirewallLogging"]["Properties"]["RedactedFields"]
    assert {"UriPath": {}} in redacted
    headers = {each["SingleHeader"]["Name"] for each in redacted if "SingleHeader" in each}
    assert headers == {"authorization", "atomic-attempt-token"}


def test_half_a_domain_name_is_refused() -> None:
    """A certificate alone would have no effect, and nothing would say so."""
    [rule] = loaded(PATH.with_name("template-edge.yaml"))["Rules"].values()
    given = [
        {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]} for name in ("DomainName", "CertificateArn")
    ]
    assert rule["RuleCondition"] == {"Fn::Or": given}
    assert [each["Assert"] for each in rule["Assertions"]] == [{"Fn::And": given}]
