<?php
// Calls the sample tools by their WSDL, with PHP's own SoapClient.
// Arguments: address of the server, version of SOAP.
[, $server, $version] = $argv;
$options = [
    'soap_version' => $version === '1.2' ? SOAP_1_2 : SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
];
$types = new SoapClient("$server/WSDL/sample/types", $options);
$faults = new SoapClient("$server/SOAP/sample/faults?wsdl", $options);

function call(SoapClient $client, string $method, mixed $value): mixed
{
    return $client->$method(['value' => $value])->return;
}

$order = ['id' => 1, 'lines' => ['item' => [['item' => 'a', 'count' => 2]]], 'note' => null];
$found = [
    'bool_' => call($types, 'bool_', true),
    'int_' => call($types, 'int_', 4611686018427387904),
    'float_' => call($types, 'float_', 1.5),
    'infinity' => is_infinite(call($types, 'float_', INF)),
    'decimal' => call($types, 'decimal', '1.50'),
    'str_' => call($types, 'str_', " \u{e4} <&> \n\u{1d11e}"),
    'bytes_' => bin2hex(call($types, 'bytes_', "\x00\xff")),
    'datetime' => call($types, 'datetime', '2026-01-02T03:04:05+02:00'),
    'date' => call($types, 'date', '2026-01-02'),
    'time' => call($types, 'time', '03:04:05'),
    'timedelta' => call($types, 'timedelta', 'PT90S'),
    'enum' => call($types, 'enum', 'red'),
    'list_' => call($types, 'list_', ['item' => [1, 2]])->item,
    'empty' => call($types, 'list_', new stdClass()),
    'tuple_' => call($types, 'tuple_', ['item1' => 1, 'item2' => 'a']),
    'dict_' => call($types, 'dict_', ['item' => [['key' => 'a b', 'value' => 1]]])->item,
    'nothing' => call($types, 'optional', null),
    'default' => $types->optional([])->return,
    'union' => call($types, 'union', ['string' => '5']),
    'record' => call($types, 'record', $order),
    'typed_dict' => call($types, 'typed_dict', ['title' => 'M']),
    'untyped' => [
        call($types, 'untyped', 5),
        call($types, 'untyped', 'x'),
        call($types, 'untyped', true),
    ],
    'none' => $types->none(),
];
foreach (['raises', 'missing', 'own'] as $method) {
    try {
        $faults->$method();
    } catch (SoapFault $fault) {
        $found[$method] = [$fault->faultcode, $fault->getMessage(), $fault->detail->ToolFault->type];
    }
}
echo json_encode($found, JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION);
