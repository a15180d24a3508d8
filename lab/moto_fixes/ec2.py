# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What moto lacks of EC2."""

from __future__ import annotations

import functools
from typing import Any

from moto.ec2.models import ec2_backends, instances, route_tables, security_groups, subnets, vpcs
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.vpn_gateway import VPCGatewayAttachment

from ..settings import Settings
from .patching import after_provisioning, is_true

ROOT_VOLUME_GIB = 8
"""Size of the root volume of Amazon Linux images, which is what a mapping without a size gives."""

ANY_PROTOCOL = "-1"


def provision_all_of_an_instance(settings: Settings) -> None:
    """CloudFormation drops SecurityGroupIds and MetadataOptions, and tags an instance only after it runs.

    An instance that goes with its stack is terminated as by TerminateInstances.
    """
    instances.Instance.create_from_cloudformation_json = classmethod(_run_instance)
    instances.Instance.delete = _terminate_instance


def _run_instance(
    cls: Any, /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
) -> Any:
    properties = cloudformation_json["Properties"]
    backend = ec2_backends[account_id][region_name]
    reservation = backend.run_instances(
        image_id=properties["ImageId"],
        count=1,
        user_data=properties.get("UserData"),
        security_group_names=properties.get("SecurityGroups", []),
        security_group_ids=properties.get("SecurityGroupIds", []),
        instance_type=properties.get("InstanceType", "m1.small"),
        is_instance_type_default="InstanceType" not in properties,
        region_name=region_name,
        subnet_id=properties.get("SubnetId"),
        key_name=properties.get("KeyName"),
        private_ip=properties.get("PrivateIpAddress"),
        block_device_mappings=[_mapping(each) for each in properties.get("BlockDeviceMappings", [])],
        metadata_options=properties.get("MetadataOptions", {}),
        tags={"instance": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}},
    )
    instance = reservation.instances[0]
    if "IamInstanceProfile" in properties:
        backend.associate_iam_instance_profile(instance.id, iam_instance_profile_name=properties["IamInstanceProfile"])
    return instance


def _mapping(mapping: dict[str, Any]) -> dict[str, Any]:
    return {**mapping, "Ebs": {"VolumeSize": ROOT_VOLUME_GIB, **mapping.get("Ebs", {})}}


def _terminate_instance(instance: Any, account: str, region: str) -> None:
    ec2_backends[account][region].terminate_instances([instance.id])


def provision_dns_of_a_vpc(settings: Settings) -> None:
    """CloudFormation drops EnableDnsSupport and EnableDnsHostnames."""
    after_provisioning(vpcs.VPC, _provision_dns)


def _provision_dns(vpc: Any, properties: dict[str, Any], account: str, region: str) -> None:
    vpc.enable_dns_support = is_true(properties.get("EnableDnsSupport", True))
    vpc.enable_dns_hostnames = is_true(properties.get("EnableDnsHostnames", False))


def provision_egress_of_a_security_group(settings: Settings) -> None:
    """CloudFormation drops SecurityGroupEgress, and updates a group by replacing it, under a new id."""
    after_provisioning(security_groups.SecurityGroup, _provision_egress)
    security_groups.SecurityGroup.update_from_cloudformation_json = classmethod(_update_security_group)


def _provision_egress(group: Any, properties: dict[str, Any], account: str, region: str) -> None:
    rules = properties.get("SecurityGroupEgress")
    if not rules:
        return
    backend = ec2_backends[account][region]
    group.egress_rules.clear()
    for rule in rules:
        backend.authorize_security_group_egress(group.id, *_rule(rule, "DestinationSecurityGroupId"))


def _update_security_group(
    cls: Any,
    /,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    backend = ec2_backends[account_id][region_name]
    original_resource.ingress_rules.clear()
    for rule in properties.get("SecurityGroupIngress", []):
        backend.authorize_security_group_ingress(original_resource.id, *_rule(rule, "SourceSecurityGroupId"))
    original_resource.egress_rules.clear()
    for rule in properties.get("SecurityGroupEgress") or [{"IpProtocol": ANY_PROTOCOL, "CidrIp": "0.0.0.0/0"}]:
        backend.authorize_security_group_egress(original_resource.id, *_rule(rule, "DestinationSecurityGroupId"))
    return original_resource


def _rule(rule: dict[str, Any], peer: str) -> tuple[Any, ...]:
    """A rule of a template as the backend's authorize_… methods take it: protocol, ports, ranges, tags, groups."""
    ranges = [{"CidrIp": rule["CidrIp"], "Description": rule.get("Description", "")}] if "CidrIp" in rule else []
    groups = [{"GroupId": rule[peer], "Description": rule.get("Description", "")}] if peer in rule else []
    return rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), ranges, None, groups


def associate_route_tables(settings: Settings) -> None:
    """CloudFormation records an association of a route table with a subnet, but does not make it."""
    after_provisioning(subnets.SubnetRouteTableAssociation, _associate)
    subnets.SubnetRouteTableAssociation.physical_resource_id = property(lambda self: self.association_id)
    subnets.SubnetRouteTableAssociation.delete = _disassociate


def _associate(association: Any, properties: dict[str, Any], account: str, region: str) -> None:
    association.association_id = ec2_backends[account][region].associate_route_table(
        association.route_table_id, subnet_id=association.subnet_id
    )


def _disassociate(association: Any, account: str, region: str) -> None:
    ec2_backends[account][region].disassociate_route_table(association.association_id)


def delete_what_a_network_is_made_of(settings: Settings) -> None:
    """CloudFormation leaves these behind when a stack goes, and then fails to delete the VPC."""
    deletions = {
        route_tables.RouteTable: _delete_route_table,
        route_tables.Route: _delete_route,
        vpcs.VPCEndPoint: _delete_endpoint,
        VPCGatewayAttachment: _detach_gateway,
        InternetGateway: _delete_internet_gateway,
        NatGateway: _delete_nat_gateway,
        ElasticAddress: _release_address,
    }
    for model, deletion in deletions.items():
        model.delete = functools.partialmethod(_delete_from, deletion)


def _delete_from(resource: Any, deletion: Any, account: str, region: str) -> None:
    deletion(ec2_backends[account][region], resource)


def _delete_route_table(backend: Any, table: Any) -> None:
    backend.delete_route_table(table.id)


def _delete_route(backend: Any, route: Any) -> None:
    backend.delete_route(route.route_table.id, route.destination_cidr_block)


def _delete_endpoint(backend: Any, endpoint: Any) -> None:
    backend.delete_vpc_endpoints([endpoint.id])
    backend.vpc_end_points.pop(endpoint.id)


def _detach_gateway(backend: Any, attachment: Any) -> None:
    backend.detach_internet_gateway(attachment.gateway_id, attachment.vpc_id)


def _delete_internet_gateway(backend: Any, gateway: Any) -> None:
    backend.delete_internet_gateway(gateway.id)


def _delete_nat_gateway(backend: Any, gateway: Any) -> None:
    backend.delete_nat_gateway(gateway.id)
    backend.delete_network_interface(gateway._eni.id)


def _release_address(backend: Any, address: Any) -> None:
    backend.release_address(allocation_id=address.allocation_id)
