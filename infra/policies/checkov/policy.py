"""What our checks share: a check is a function from a configuration to whether it is well."""

from checkov.common.models.enums import CheckCategories, CheckResult
from checkov.terraform.checks.resource.base_resource_check import BaseResourceCheck


class Policy(BaseResourceCheck):
    def __init__(self, identifier, text, resources, is_well):
        self.is_well = is_well
        super().__init__(name=text, id=identifier, categories=[CheckCategories.GENERAL_SECURITY], supported_resources=resources)

    def scan_resource_conf(self, conf):
        return CheckResult.PASSED if self.is_well(conf) else CheckResult.FAILED


class Forbidden(Policy):
    """A kind of resource that we never have."""

    def __init__(self, identifier, text, resources):
        super().__init__(identifier, text, resources, lambda conf: False)
