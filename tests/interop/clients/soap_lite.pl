# Calls the sample tools without a WSDL, with SOAP::Lite.
# Arguments: address of the server, version of SOAP.
use strict;
use warnings;
use utf8;
use JSON::PP;
use SOAP::Lite;

my ($server, $version) = @ARGV;

sub connect_to {
    my ($tool) = @_;
    return SOAP::Lite->soapversion($version)->uri("urn:toolserver:$tool")->proxy("$server/SOAP")
      ->on_fault(sub { my ($soap, $answer) = @_; return ref $answer ? $answer : die $soap->transport->status });
}

my $types = connect_to('sample.types');
my $faults = connect_to('sample.faults');
my $text = " \x{e4} <&> \n\x{1d11e}";
my %found = (
    bool_ => scalar $types->bool_(SOAP::Data->type(boolean => 1))->result,
    int_ => scalar $types->int_(2147483648)->result,
    float_ => scalar $types->float_(1.5)->result,
    whole => scalar $types->float_(5)->result,
    decimal => scalar $types->decimal('1.50')->result,
    str_ => scalar $types->str_($text)->result,
    digits => scalar $types->str_('007')->result,
    bytes_ => unpack('H*', scalar $types->bytes_(SOAP::Data->type(base64 => "\x00\xff"))->result),
    datetime => scalar $types->datetime('2026-01-02T03:04:05')->result,
    enum => scalar $types->enum('red')->result,
    list_ => scalar $types->list_([1, 2])->result,
    empty => scalar $types->list_([])->result,
    tuple_ => scalar $types->tuple_([1, 'a'])->result,
    dict_ => scalar $types->dict_({ a => 1, b => 2 })->result,
    nothing => scalar $types->optional(undef)->result,
    default => scalar $types->optional()->result,
    named => scalar $types->optional(SOAP::Data->name(value => 9))->result,
    record => scalar $types->record({ id => 1, lines => [{ item => 'a', count => 2 }] })->result,
    untyped => scalar $types->untyped([1, 'x', { a => ['b'] }])->result,
    none => scalar $types->none()->result,
);
for my $method (qw(raises missing own)) {
    my $answer = $faults->$method();
    $found{$method} = [$answer->faultcode, $answer->faultstring, $answer->valueof('//ToolFault/type')];
}
# Records arrive as objects of this class.
sub Struct::TO_JSON { my ($struct) = @_; return {%$struct}; }
print JSON::PP->new->ascii->convert_blessed->encode(\%found);
