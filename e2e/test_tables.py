"""Tables, by boto3's client and resource and by the AWS CLI: the recipe's history table, the errors as botocore names them, and
items that are there after the power went.
"""

import json
import subprocess
import threading
from decimal import Decimal

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import BotoCoreError, ClientError

from house import PATIENCE, REGION, aws_cli, wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def client(ombra):
    """The low-level client."""
    return ombra.client("dynamodb")


@pytest.fixture(scope="module")
def resource(ombra):
    """What functions use: items as Python values, numbers as Decimal."""
    return boto3.resource(
        "dynamodb", region_name=REGION, endpoint_url=ombra.url, aws_access_key_id="test", aws_secret_access_key="test"
    )


def definition(name: str, sort: str = "N") -> dict:
    """A table whose keys are text and whatever `sort` says."""
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "ThingName", "AttributeType": "S"},
            {"AttributeName": "Timestamp", "AttributeType": sort},
        ],
        "KeySchema": [
            {"AttributeName": "ThingName", "KeyType": "HASH"},
            {"AttributeName": "Timestamp", "KeyType": "RANGE"},
        ],
    }


@pytest.fixture(scope="module")
def history(client, resource):
    """The recipe's table."""
    client.create_table(**definition("History"))
    client.get_waiter("table_exists").wait(TableName="History", WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    return resource.Table("History")


def test_items_are_python_values(history):
    """What a function writes about a shadow comes back as it was."""
    state = {"reported": {"temperature": Decimal("22.5"), "on": True, "rooms": ["hall", None], "seen": {1, 2}}}
    item = {"ThingName": "lamp", "Timestamp": 1, "ShadowState": state, "blob": b"\x00\xff"}
    history.put_item(Item=item)
    got = history.get_item(Key={"ThingName": "lamp", "Timestamp": 1})["Item"]
    assert got["ShadowState"] == state
    assert got["blob"].value == b"\x00\xff"
    assert got["Timestamp"] == Decimal(1)


def test_numbers_keep_38_digits_and_their_order(history):
    """Decimal goes in and out, and sorts."""
    most = Decimal("12345678901234567890123456789012345678")
    numbers = [-most, Decimal("-1E+20"), Decimal("-0.1"), Decimal("1E-130"), Decimal("9.5"), Decimal("10"), most]
    with history.batch_writer() as batch:
        for number in reversed(numbers):
            batch.put_item(Item={"ThingName": "numbers", "Timestamp": number})
    found = history.query(KeyConditionExpression=Key("ThingName").eq("numbers"))["Items"]
    assert [item["Timestamp"] for item in found] == numbers


def test_a_query_is_filtered_and_projected(history):
    """The conditions of the resource become expressions."""
    for second in range(10):
        history.put_item(Item={"ThingName": "clock", "Timestamp": second, "even": second % 2 == 0, "name": f"n{second}"})
    found = history.query(
        KeyConditionExpression=Key("ThingName").eq("clock") & Key("Timestamp").between(2, 7),
        FilterExpression=Attr("even").eq(True) & Attr("name").begins_with("n"),
        ProjectionExpression="#t, #n", ExpressionAttributeNames={"#t": "Timestamp", "#n": "name"}, ScanIndexForward=False,
    )
    assert found["Items"] == [{"Timestamp": Decimal(second), "name": f"n{second}"} for second in (6, 4, 2)]
    assert (found["Count"], found["ScannedCount"]) == (3, 6)


def test_paginators_reach_everything(client, history):
    """A megabyte at a time, and by two and two."""
    for second in range(6):
        history.put_item(Item={"ThingName": "big", "Timestamp": second, "v": "x" * 350_000})
    asked = {
        "TableName": "History", "KeyConditionExpression": "ThingName = :t", "ExpressionAttributeValues": {":t": {"S": "big"}},
    }
    pages = [page["Count"] for page in client.get_paginator("query").paginate(**asked)]
    assert sum(pages) == 6 and len(pages) > 1
    pages = [page["Count"] for page in client.get_paginator("query").paginate(**asked, PaginationConfig={"PageSize": 2})]
    assert sum(pages) == 6 and max(pages) == 2


def test_a_counter_is_exact_among_many_writers(history):
    """ADD is atomic, and what it answers is what it made."""
    made = []

    def count():
        for _ in range(20):
            answer = history.update_item(
                Key={"ThingName": "counter", "Timestamp": 0}, UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": 1}, ReturnValues="UPDATED_NEW",
            )
            made.append(int(answer["Attributes"]["n"]))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(made) == list(range(1, 81))


def test_errors_have_their_names(client, history):
    """Each is an exception of its own in botocore, with DynamoDB's words."""
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Requested resource not found"):
        client.describe_table(TableName="Nowhere")
    with pytest.raises(client.exceptions.ResourceInUseException, match="Table already exists: History"):
        client.create_table(**definition("History"))
    with pytest.raises(ClientError, match="The provided key element does not match the schema") as refused:
        client.get_item(TableName="History", Key={"ThingName": {"S": "x"}})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    history.put_item(Item={"ThingName": "once", "Timestamp": 1, "by": "a"})
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as refused:
        client.put_item(
            TableName="History", Item={"ThingName": {"S": "once"}, "Timestamp": {"N": "1"}},
            ConditionExpression="attribute_not_exists(ThingName)", ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refused.value.response["Item"]["by"] == {"S": "a"}
    check = {"TableName": "History", "Key": {"ThingName": {"S": "none"}, "Timestamp": {"N": "1"}}}
    with pytest.raises(client.exceptions.TransactionCanceledException) as refused:
        client.transact_write_items(
            TransactItems=[{"ConditionCheck": {**check, "ConditionExpression": "attribute_exists(ThingName)"}}]
        )
    assert [reason["Code"] for reason in refused.value.response["CancellationReasons"]] == ["ConditionalCheckFailed"]


def test_what_is_not_built_says_so(client):
    """Streams and PartiQL are refused by name."""
    with pytest.raises(ClientError) as refused:
        client.execute_statement(Statement='SELECT * FROM "History"')
    assert refused.value.response["Error"]["Code"] == "NotImplementedException"
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    with pytest.raises(ClientError) as refused:
        client.create_table(**definition("Streamed"), StreamSpecification=stream)
    assert refused.value.response["Error"]["Code"] == "NotImplementedException"


def test_an_index_answers_other_questions(client, resource):
    """A global index made with its table, and one made later."""
    named = definition("Indexed")
    named["AttributeDefinitions"].append({"AttributeName": "color", "AttributeType": "S"})
    index = {"KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
    client.create_table(**named, GlobalSecondaryIndexes=[{"IndexName": "by_color", **index}])
    table = resource.Table("Indexed")
    for second, color in enumerate(["red", "blue", "red", None]):
        table.put_item(Item={"ThingName": "lamp", "Timestamp": second, **({"color": color} if color else {})})
    found = table.query(IndexName="by_color", KeyConditionExpression=Key("color").eq("red"))["Items"]
    assert {int(item["Timestamp"]) for item in found} == {0, 2}
    client.update_table(
        TableName="Indexed", AttributeDefinitions=named["AttributeDefinitions"],
        GlobalSecondaryIndexUpdates=[{"Create": {"IndexName": "again", **index}}],
    )

    def state():
        indexes = client.describe_table(TableName="Indexed")["Table"]["GlobalSecondaryIndexes"]
        return next(index["IndexStatus"] for index in indexes if index["IndexName"] == "again")

    wait_for(lambda: state() == "ACTIVE", "the index is filled")
    assert table.scan(IndexName="again")["Count"] == 3


def test_the_recipe_is_typed(ombra, tmp_path):
    """The walkthrough's table as the stock CLI makes, waits for, asks and deletes it."""
    aws = aws_cli()

    def typed(*words):
        done = subprocess.run(
            [aws, "dynamodb", *words], cwd=tmp_path, env=ombra.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE * 2,
        )
        assert done.returncode == 0, f"aws dynamodb {' '.join(words)}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    typed(
        "create-table", "--table-name", "DeviceStateHistory-abc123",
        "--attribute-definitions", "AttributeName=ThingName,AttributeType=S", "AttributeName=Timestamp,AttributeType=N",
        "--key-schema", "AttributeName=ThingName,KeyType=HASH", "AttributeName=Timestamp,KeyType=RANGE",
        "--billing-mode", "PAY_PER_REQUEST", "--tags", "Key=Application,Value=IoTShadowDemo",
    )
    typed("wait", "table-exists", "--table-name", "DeviceStateHistory-abc123")
    for second in ("1700000001", "1700000000"):
        item = {"ThingName": {"S": "smart-thermostat"}, "Timestamp": {"N": second}, "EventType": {"S": "shadow_update"}}
        typed("put-item", "--table-name", "DeviceStateHistory-abc123", "--item", json.dumps(item))
    found = typed(
        "query", "--table-name", "DeviceStateHistory-abc123", "--key-condition-expression", "ThingName = :thingName",
        "--expression-attribute-values", '{":thingName":{"S":"smart-thermostat"}}',
    )
    assert [item["Timestamp"]["N"] for item in found["Items"]] == ["1700000000", "1700000001"]
    typed("delete-table", "--table-name", "DeviceStateHistory-abc123")
    typed("wait", "table-not-exists", "--table-name", "DeviceStateHistory-abc123")
    assert "DeviceStateHistory-abc123" not in typed("list-tables")["TableNames"]


def test_tables_of_two_accounts_never_meet(ombra, history):
    """A 12-digit access key is an account of its own."""
    other = ombra.client("dynamodb", account="111122223333")
    assert other.list_tables()["TableNames"] == []
    other.create_table(**definition("History"))
    assert other.scan(TableName="History")["Count"] == 0
    assert other.describe_table(TableName="History")["Table"]["TableArn"].split(":")[4] == "111122223333"


def test_what_was_acknowledged_survives_a_power_cut(own_ombra):
    """Two writers, one by single items and one by transactions, and the server killed under them."""
    own_ombra.start()
    client = own_ombra.client("dynamodb")
    client.create_table(**definition("History"))
    acknowledged = {"single": 0, "both": 0}

    def write(name, once):
        client = own_ombra.client("dynamodb")
        try:
            for second in range(1, 100_000):
                once(client, {"N": str(second)})
                acknowledged[name] = second
        except (BotoCoreError, ClientError):
            pass

    def single(client, second):
        client.put_item(TableName="History", Item={"ThingName": {"S": "single"}, "Timestamp": second})

    def both(client, second):
        puts = [{"Put": {"TableName": "History", "Item": {"ThingName": {"S": side}, "Timestamp": second}}} for side in ("a", "b")]
        client.transact_write_items(TransactItems=puts)

    writers = [threading.Thread(target=write, args=each, daemon=True) for each in (("single", single), ("both", both))]
    for writer in writers:
        writer.start()
    wait_for(lambda: min(acknowledged.values()) > 20, "both have written some")
    own_ombra.kill()
    for writer in writers:
        writer.join(PATIENCE)
    own_ombra.start()
    client = own_ombra.client("dynamodb")

    def seconds(thing):
        pages = client.get_paginator("query").paginate(
            TableName="History", KeyConditionExpression="ThingName = :t", ExpressionAttributeValues={":t": {"S": thing}}
        )
        return [int(item["Timestamp"]["N"]) for page in pages for item in page["Items"]]

    found = seconds("single")
    assert found == list(range(1, len(found) + 1)) and len(found) >= acknowledged["single"]
    assert seconds("a") == seconds("b"), "a transaction is torn"
    assert len(seconds("a")) >= acknowledged["both"]
    count = client.describe_table(TableName="History")["Table"]["ItemCount"]
    assert count == len(found) + 2 * len(seconds("a"))
