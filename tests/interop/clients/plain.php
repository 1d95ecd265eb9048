<?php
// Calls the sample tools without a WSDL: rpc/encoded, with PHP's own SoapClient.
// Arguments: address of the server, version of SOAP.
[, $server, $version] = $argv;

function connect(string $tool): SoapClient
{
    global $server, $version;
    return new SoapClient(null, [
        'location' => "$server/SOAP",
        'uri' => "urn:toolserver:$tool",
        'soap_version' => $version === '1.2' ? SOAP_1_2 : SOAP_1_1,
    ]);
}

$types = connect('sample.types');
$faults = connect('sample.faults');
$found = [
    'bool_' => $types->bool_(true),
    'int_' => $types->int_(4611686018427387904),
    'float_' => $types->float_(1.5),
    'whole' => $types->float_(5),
    'decimal' => $types->decimal('1.50'),
    'str_' => $types->str_(" \u{e4} <&> \n\u{1d11e}"),
    'digits' => $types->str_('007'),
    'bytes_' => bin2hex($types->bytes_(new SoapVar("\x00\xff", XSD_BASE64BINARY))),
    'datetime' => $types->datetime('2026-01-02T03:04:05'),
    'enum' => $types->enum('red'),
    'list_' => $types->list_([1, 2]),
    'empty' => $types->list_([]),
    'tuple_' => $types->tuple_([1, 'a']),
    'dict_' => $types->dict_(['a b' => 1]),
    'nothing' => $types->optional(null),
    'default' => $types->optional(),
    'named' => $types->optional(new SoapParam(9, 'value')),
    'record' => $types->record(['id' => 1, 'lines' => [['item' => 'a', 'count' => 2]]]),
    'object' => $types->record((object) ['id' => 1, 'lines' => [(object) ['item' => 'b']]]),
    'untyped' => $types->untyped([1, 'x', ['a' => [true, null]]]),
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
