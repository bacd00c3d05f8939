"""`atomic doctor --aws`: the account before a deployment, and the stack after it."""

from collections.abc import Iterator, Mapping

from atomic.adapters.system import SystemClock
from atomic.cli.aws.account import ACCOUNT_CHECKS, identity
from atomic.cli.aws.checks import Account, findings_of
from atomic.cli.aws.stack import stack_findings
from atomic.cli.findings import Finding


def findings(
    environ: Mapping[str, str], *, profile: str | None, region: str | None, stack: str | None
) -> Iterator[Finding]:
    """What there is to say about an account, and about a stack of it if one is named."""
    # Lambda and the AWS CLI read AWS_REGION; boto3 does not.
    account = Account(profile, region or environ.get("AWS_REGION"))
    found = list(identity(account, SystemClock().wall_ms))
    yield from found
    if found[0].ok:
        for check in ACCOUNT_CHECKS:
            yield from findings_of(check, account)
        if stack is not None:
            yield from stack_findings(account, stack)
