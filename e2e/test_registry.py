"""The registry as its stock clients see it: groups of things, billing groups, thing types, tags, events, and what a thing's
type adds to messages. boto3 judges every answer by AWS's model, the AWS CLI is typed at a prompt, Paho listens.
"""

import json
import uuid

import paho.mqtt.client as mqtt
import pytest

from devices import ALLOW_ALL, arn
from house import REGION, aws_cli
from test_aws_cli import Shell
from test_boto3 import Checked, refused
from test_paho import Paho

pytestmark = pytest.mark.timeout(120)
FAMILIES = [
    "thing", "thingType", "thingTypeAssociation", "thingGroup", "thingGroupMembership", "thingGroupHierarchy",
]


@pytest.fixture(scope="module")
def checked(iot):
    """The control plane, held against its model."""
    return Checked(iot)


@pytest.fixture
def own(ombra):
    """The control plane of an account that nobody had."""
    return Checked(ombra.client("iot", f"{uuid.uuid4().int % 10**12:012}"))


def names(groups) -> list[str]:
    """The names in a listing of groups."""
    return [group["groupName"] for group in groups]


# Thing groups.


def test_a_tree_of_groups_is_made_described_listed_and_taken_apart(own):
    root = own.create_thing_group(thingGroupName="house")
    properties = {"thingGroupDescription": "up", "attributePayload": {"attributes": {"floor": "1"}}}
    first = own.create_thing_group(thingGroupName="floor", parentGroupName="house", thingGroupProperties=properties)
    assert own.create_thing_group(
        thingGroupName="floor", parentGroupName="house", thingGroupProperties=properties) == first
    own.create_thing_group(thingGroupName="room", parentGroupName="floor")
    told = own.describe_thing_group(thingGroupName="room")
    assert told["version"] == 1 and told["thingGroupMetadata"]["parentGroupName"] == "floor"
    assert told["thingGroupMetadata"]["rootToParentThingGroups"] == [
        {"groupName": "house", "groupArn": root["thingGroupArn"]},
        {"groupName": "floor", "groupArn": first["thingGroupArn"]},
    ]
    assert own.describe_thing_group(thingGroupName="floor")["thingGroupProperties"] == properties
    assert names(own.list_thing_groups()["thingGroups"]) == ["floor", "house", "room"]
    assert names(own.list_thing_groups(recursive=False)["thingGroups"]) == ["house"]
    assert names(own.list_thing_groups(parentGroup="house", namePrefixFilter="r")["thingGroups"]) == ["room"]
    change = {"attributePayload": {"attributes": {"floor": "", "sea": "view"}, "merge": True}}
    assert own.update_thing_group(thingGroupName="floor", thingGroupProperties=change, expectedVersion=1)["version"] == 2
    told = own.describe_thing_group(thingGroupName="floor")["thingGroupProperties"]
    assert told["attributePayload"]["attributes"] == {"sea": "view"}
    refused(own.update_thing_group, 409, "VersionConflictException", thingGroupName="floor",
            thingGroupProperties=change, expectedVersion=1)
    message = "Thing Group floor already exists in current account with different properties"
    answer = refused(own.create_thing_group, 409, "ResourceAlreadyExistsException", message, thingGroupName="floor")
    assert answer["resourceArn"] == first["thingGroupArn"]
    message = " Cannot delete thing group : floor when there are still child groups attached to it"
    refused(own.delete_thing_group, 400, "InvalidRequestException", message, thingGroupName="floor")
    for name in ["room", "floor", "house", "never-there"]:
        assert own.delete_thing_group(thingGroupName=name) == {}
    refused(own.describe_thing_group, 404, "ResourceNotFoundException", thingGroupName="house")


def test_things_come_into_groups_and_leave_them(own):
    for group, parent in [("a", {}), ("b", {"parentGroupName": "a"}), ("c", {})]:
        own.create_thing_group(thingGroupName=group, **parent)
    lamp = own.create_thing(thingName="lamp")
    group = own.describe_thing_group(thingGroupName="b")
    own.add_thing_to_thing_group(thingGroupArn=group["thingGroupArn"], thingArn=lamp["thingArn"])
    assert own.list_things_in_thing_group(thingGroupName="a")["things"] == []
    assert own.list_things_in_thing_group(thingGroupName="a", recursive=True)["things"] == ["lamp"]
    refused(own.add_thing_to_thing_group, 400, "InvalidRequestException", thingGroupName="a", thingName="lamp")
    own.update_thing_groups_for_thing(thingName="lamp", thingGroupsToAdd=["a", "c"], thingGroupsToRemove=["b"])
    assert names(own.list_thing_groups_for_thing(thingName="lamp")["thingGroups"]) == ["a", "c"]
    own.remove_thing_from_thing_group(thingGroupName="c", thingName="lamp")
    own.delete_thing(thingName="lamp")
    assert own.list_things_in_thing_group(thingGroupName="a")["things"] == []
    refused(own.add_thing_to_thing_group, 404, "ResourceNotFoundException", thingGroupName="a", thingName="lamp")
    message = " Both thingGroupArn and thingGroupName are empty. Need to specify at least one of them"
    refused(own.remove_thing_from_thing_group, 400, "InvalidRequestException", message, thingName="lamp")


def test_a_dynamic_group_is_refused_while_nothing_is_indexed(own):
    own.create_thing_group(thingGroupName="static")
    refused(own.create_dynamic_thing_group, 400, "InvalidRequestException", thingGroupName="d", queryString="thingName:*")
    refused(own.update_dynamic_thing_group, 404, "ResourceNotFoundException", thingGroupName="d", thingGroupProperties={})
    refused(own.delete_dynamic_thing_group, 400, "InvalidRequestException", thingGroupName="static")
    assert own.delete_dynamic_thing_group(thingGroupName="d") == {}


# Billing groups.


def test_billing_groups_hold_things_one_for_each(own):
    made = own.create_billing_group(billingGroupName="b1", billingGroupProperties={"billingGroupDescription": "one"})
    own.create_billing_group(billingGroupName="b2")
    own.create_thing(thingName="lamp", billingGroupName="b1")
    assert own.describe_thing(thingName="lamp")["billingGroupName"] == "b1"
    own.add_thing_to_billing_group(billingGroupName="b2", thingName="lamp")
    assert own.list_things_in_billing_group(billingGroupName="b1")["things"] == []
    assert own.list_things_in_billing_group(billingGroupName="b2")["things"] == ["lamp"]
    own.remove_thing_from_billing_group(billingGroupName="b2", thingName="lamp")
    assert "billingGroupName" not in own.describe_thing(thingName="lamp")
    changed = {"billingGroupDescription": "first"}
    assert own.update_billing_group(billingGroupName="b1", billingGroupProperties=changed)["version"] == 2
    told = own.describe_billing_group(billingGroupName="b1")
    assert (told["billingGroupProperties"], told["billingGroupArn"]) == (changed, made["billingGroupArn"])
    assert names(own.list_billing_groups(namePrefixFilter="b1")["billingGroups"]) == ["b1"]
    refused(own.delete_billing_group, 409, "VersionConflictException", billingGroupName="b1", expectedVersion=1)
    own.delete_billing_group(billingGroupName="b1")
    refused(own.describe_billing_group, 404, "ResourceNotFoundException", billingGroupName="b1")


# Things and their types.


def test_a_type_is_changed_only_in_what_it_propagates(own):
    propagating = [{"userPropertyKey": "room", "thingAttribute": "room"}]
    own.create_thing_type(thingTypeName="light", thingTypeProperties={"thingTypeDescription": "d"})
    own.update_thing_type(
        thingTypeName="light", thingTypeProperties={"mqtt5Configuration": {"propagatingAttributes": propagating}})
    told = own.describe_thing_type(thingTypeName="light")["thingTypeProperties"]
    assert told["mqtt5Configuration"]["propagatingAttributes"] == propagating
    refused(own.update_thing_type, 400, "InvalidRequestException", thingTypeName="light",
            thingTypeProperties={"thingTypeDescription": "other"})
    own.deprecate_thing_type(thingTypeName="light")
    refused(own.delete_thing_type, 400, "InvalidRequestException", thingTypeName="light")
    message = "Can not create new thing with depreated thing type:light"
    refused(own.create_thing, 400, "InvalidRequestException", message, thingName="lamp", thingTypeName="light")


def test_boto3s_own_paginator_walks_every_page_of_a_filtered_listing(ombra, own):
    own.create_thing_type(thingTypeName="light")
    for number in range(1100):
        room = "hall" if number % 500 == 0 else "attic"
        own.create_thing(thingName=f"t{number:04}", thingTypeName="light", attributePayload={"attributes": {"room": room}})
    for narrower in [{}, {"thingTypeName": "light"}]:
        pages = own.client.get_paginator("list_things").paginate(attributeName="room", attributeValue="hall", **narrower)
        found = [thing["thingName"] for page in pages for thing in page["things"]]
        assert found == ["t0000", "t0500", "t1000"]
    pages = own.client.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 250})
    assert [len(page["things"]) for page in pages] == [250, 250, 250, 250, 100]


# Tags.


def test_everything_that_can_be_tagged_is(own):
    born = [{"Key": "born", "Value": "here"}]
    sql = {"sql": "SELECT * FROM 'a'", "actions": []}
    document = json.dumps(ALLOW_ALL)
    arns = [
        own.create_thing_group(thingGroupName="t", tags=born)["thingGroupArn"],
        own.create_thing_type(thingTypeName="t", tags=born)["thingTypeArn"],
        own.create_billing_group(billingGroupName="t", tags=born)["billingGroupArn"],
        own.create_policy(policyName="t", policyDocument=document, tags=born)["policyArn"],
    ]
    own.create_topic_rule(ruleName="t", topicRulePayload=sql, tags="born=here")
    arns.append(own.get_topic_rule(ruleName="t")["ruleArn"])
    for resource in arns:
        assert own.list_tags_for_resource(resourceArn=resource)["tags"] == born
        own.tag_resource(resourceArn=resource, tags=[{"Key": "k", "Value": "v"}, {"Key": "born", "Value": ""}])
        own.untag_resource(resourceArn=resource, tagKeys=["k", "never"])
        assert own.list_tags_for_resource(resourceArn=resource)["tags"] == [{"Key": "born", "Value": ""}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    refused(own.tag_resource, 410, "LimitExceededException", resourceArn=arns[0], tags=many)
    refused(own.tag_resource, 404, "ResourceNotFoundException", resourceArn=arns[0] + "x", tags=born)


# Events.


def test_what_happens_in_the_registry_is_heard_once_it_is_asked_for(workshop, checked):
    configured = checked.describe_event_configurations()["eventConfigurations"]
    assert not any(one["Enabled"] for one in configured.values()) and len(configured) == 11
    wanted = ["THING", "THING_TYPE", "THING_TYPE_ASSOCIATION", "THING_GROUP", "THING_GROUP_MEMBERSHIP",
              "THING_GROUP_HIERARCHY"]
    refused(checked.update_event_configurations, 400, "InvalidRequestException", eventConfigurations={"NONE": {}})
    checked.update_event_configurations(eventConfigurations={key: {"Enabled": True} for key in wanted})
    with Paho(workshop.device("ear"), mqtt.MQTTv311) as ear:
        ear.client.subscribe([(f"$aws/events/{family}/#", 1) for family in FAMILIES])
        ear.next("subscribe")
        checked.create_thing_type(thingTypeName="ev-type")
        thing = checked.create_thing(thingName="ev-thing", thingTypeName="ev-type")
        checked.create_thing_group(thingGroupName="ev-root")
        checked.create_thing_group(thingGroupName="ev-group", parentGroupName="ev-root")
        checked.add_thing_to_thing_group(thingGroupName="ev-group", thingName="ev-thing")
        checked.update_event_configurations(eventConfigurations={key: {"Enabled": False} for key in wanted})
        checked.delete_thing(thingName="ev-thing")
        checked.update_event_configurations(eventConfigurations={"THING_GROUP": {"Enabled": True}})
        checked.delete_thing_group(thingGroupName="ev-group")
        heard = [ear.next("message") for _ in range(8)]
    topics = [message.topic.removeprefix("$aws/events/") for message in heard]
    assert topics == [
        "thingType/ev-type/created",
        "thing/ev-thing/created",
        "thingTypeAssociation/thing/ev-thing/thingType/ev-type/added",
        "thingGroup/ev-root/created",
        "thingGroup/ev-group/created",
        "thingGroupHierarchy/thingGroup/ev-root/childThingGroup/ev-group/added",
        "thingGroupMembership/thingGroup/ev-group/thing/ev-thing/added",
        "thingGroup/ev-group/deleted",
    ]
    told = json.loads(heard[1].payload)
    assert told.pop("eventId") and told.pop("timestamp") and told == {
        "eventType": "THING_EVENT", "operation": "CREATED", "accountId": "000000000000", "thingId": thing["thingId"],
        "thingName": "ev-thing", "versionNumber": 1, "thingTypeName": "ev-type", "attributes": {},
    }


# Messages.


def test_a_message_carries_what_the_type_of_its_thing_propagates(workshop, checked):
    propagating = [
        {"userPropertyKey": "room", "thingAttribute": "room"},
        {"userPropertyKey": "who", "connectionAttribute": "iot:Thing.ThingName"},
    ]
    checked.create_thing_type(thingTypeName="speaks", thingTypeProperties={
        "mqtt5Configuration": {"propagatingAttributes": propagating}})
    mouth, listener = workshop.device("mouth"), workshop.device("listener")
    attributes = {"attributes": {"room": "hall"}}
    checked.update_thing(thingName="mouth", thingTypeName="speaks", attributePayload=attributes)
    with Paho(listener, mqtt.MQTTv5) as ear, Paho(mouth, mqtt.MQTTv311) as old, Paho(mouth, mqtt.MQTTv5, "other") as new:
        ear.client.subscribe("said/#", 1)
        ear.next("subscribe")
        old.client.publish("said/old", b"x", 1)
        assert ear.next("message").properties.UserProperty == [("room", "hall"), ("who", "mouth")]
        checked.update_thing(thingName="mouth", attributePayload={"attributes": {"room": "attic"}})
        old.client.publish("said/old", b"x", 1)
        assert ear.next("message").properties.UserProperty == [("room", "attic"), ("who", "mouth")]
        # Under another client id it speaks for no thing.
        new.client.publish("said/new", b"x", 1)
        assert not hasattr(ear.next("message").properties, "UserProperty")


# At a prompt.


@pytest.fixture(scope="module")
def aws(ombra, tmp_path_factory):
    """A prompt with version 1, which pip installs."""
    return Shell(ombra, tmp_path_factory.mktemp("shell"), aws_cli())


def test_the_aws_cli_keeps_a_fleet_in_order(aws):
    aws("iot", "create-thing-group", "--thing-group-name", "cli-fleet", "--tags", "Key=team,Value=blue")
    aws("iot", "create-thing-group", "--thing-group-name", "cli-hall", "--parent-group-name", "cli-fleet")
    aws("iot", "create-thing", "--thing-name", "cli-lamp", "--attribute-payload", "attributes={room=hall}")
    aws("iot", "add-thing-to-thing-group", "--thing-group-name", "cli-hall", "--thing-name", "cli-lamp")
    listed = aws("iot", "list-things-in-thing-group", "--thing-group-name", "cli-fleet", "--recursive")
    assert listed["things"] == ["cli-lamp"]
    found = aws("iot", "list-things", "--attribute-name", "room", "--attribute-value", "hall")["things"]
    assert [thing["thingName"] for thing in found] == ["cli-lamp"]
    tags = aws("iot", "list-tags-for-resource", "--resource-arn", arn("thinggroup/cli-fleet", region=REGION))["tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]
    aws.refused("InvalidRequestException", "iot", "delete-thing-group", "--thing-group-name", "cli-fleet")
    configured = aws("iot", "describe-event-configurations")["eventConfigurations"]
    assert configured["THING"] == {"Enabled": False}
