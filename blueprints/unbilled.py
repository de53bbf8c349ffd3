"""Resources without a price: those that are known to be free, and those whose price the book cannot say."""

from __future__ import annotations

#: Beginning of a type token -> why such a resource costs nothing. The longest that fits counts.
_FREE = {
    "modelyard:": "runs on this machine",
    "pulumi:": "exists in the state only",
    "random:": "exists in the state only",
    "tls:": "exists in the state only",
    "command:": "a command run once",
    "kubernetes:": "runs on your nodes",
    "aws:iam/": "IAM is free",
    "aws:appautoscaling/": "what it scales is billed",
    "aws:budgets/budget:": "a budget without actions is free",
    "aws:backup/": "the copies are billed with the vault",
}
#: pulumi-aws modules -> names in them that AWS does not bill.
_FREE_OF_AWS = {
    "acm": "CertificateValidation",
    "alb": "Listener ListenerCertificate ListenerRule TargetGroup TargetGroupAttachment",
    "cloudwatch": (
        "EventBusPolicy EventPermission EventRule EventTarget LogDataProtectionPolicy "
        "LogResourcePolicy LogStream LogSubscriptionFilter QueryDefinition"
    ),
    "cognito": "ManagedUserPoolClient ResourceServer UserGroup UserPoolClient UserPoolDomain",
    "ec2": (
        "DefaultNetworkAcl DefaultRouteTable DefaultSecurityGroup EgressOnlyInternetGateway "
        "EipAssociation InternetGateway InternetGatewayAttachment MainRouteTableAssociation "
        "ManagedPrefixList NetworkAcl NetworkAclAssociation NetworkAclRule NetworkInterface Route "
        "RouteTable RouteTableAssociation SecurityGroup SecurityGroupAssociation SecurityGroupRule "
        "Subnet Vpc VpcDhcpOptions VpcDhcpOptionsAssociation VpcEndpointPolicy "
        "VpcEndpointRouteTableAssociation VpcIpv4CidrBlockAssociation"
    ),
    "ecr": "LifecyclePolicy RegistryPolicy RepositoryPolicy",
    "ecs": "AccountSettingDefault ClusterCapacityProviders Tag",
    "kms": "Alias Grant KeyPolicy",
    "lambda": "Alias Permission",
    "lb": "Listener ListenerCertificate ListenerRule TargetGroup TargetGroupAttachment",
    "rds": "Certificate EventSubscription OptionGroup ParameterGroup SubnetGroup",
    "resourcegroups": "Group",
    "route53": "Record ZoneAssociation",
    "s3": (
        "AccountPublicAccessBlock BucketAcl BucketAclV2 BucketCorsConfiguration "
        "BucketLifecycleConfiguration BucketLifecycleConfigurationV2 BucketLogging BucketLoggingV2 "
        "BucketNotification BucketObject BucketObjectv2 BucketObjectLockConfiguration "
        "BucketObjectLockConfigurationV2 BucketOwnershipControls BucketPolicy "
        "BucketPublicAccessBlock BucketServerSideEncryptionConfiguration "
        "BucketServerSideEncryptionConfigurationV2 BucketVersioning BucketVersioningV2"
    ),
    "scheduler": "ScheduleGroup",
    "secretsmanager": "SecretPolicy SecretRotation SecretVersion",
    "servicediscovery": "HttpNamespace Service",
    "sns": "TopicPolicy TopicSubscription",
    "vpc": "SecurityGroupEgressRule SecurityGroupIngressRule SecurityGroupVpcAssociation",
    "wafv2": "IpSet RegexPatternSet WebAclAssociation WebAclLoggingConfiguration",
}
#: Beginning of a type token -> why the book has no price. Before what is free.
_UNPRICED = {
    "kubernetes:core/v1:PersistentVolumeClaim": "what a volume costs depends on the cluster's provider",
    "kubernetes:helm.sh/": "what a chart brings is not in the preview",
    "kubernetes:postgresql.cnpg.io/": "its volumes: what they cost depends on the cluster's provider",
    "aws:backup/logicallyAirGappedVault:": "the price book does not have it",
    "aws:cognito/userPool:": "billed by active users, the first 10,000 are free",
    "aws:s3/bucketReplicationConfig": "billed by what is copied, see backups",
    "aws:scheduler/schedule:": "billed by runs, the first 14 million of an account are free",
}


def free_because(token: str) -> str:
    """Why a resource of this type costs nothing; empty when that is not known."""
    for beginning in sorted(_FREE, key=len, reverse=True):
        if token.startswith(beginning):
            return _FREE[beginning]
    parts = token.split(":")
    if len(parts) != 3 or parts[0] != "aws":
        return ""
    names = _FREE_OF_AWS.get(parts[1].split("/")[0], "").split()
    return "AWS does not bill it" if parts[2] in names else ""


def unpriced_because(token: str) -> str:
    """Why a resource of this type has no price in the book; empty when it may have one."""
    return next((why for beginning, why in _UNPRICED.items() if token.startswith(beginning)), "")
