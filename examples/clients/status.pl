#!/usr/bin/perl
# Asks a server how it is: perl status.pl URL SECRET. Core modules alone.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use JSON::PP;

my ($url, $secret) = @ARGV;

sub call {
    my ($method, @params) = @_;
    my $answer = HTTP::Tiny->new->post("$url/JSONRPC/server/status", {
        headers => { 'Content-Type' => 'application/json' },
        content => encode_json(
            { jsonrpc => '2.0', id => 1, method => $method, params => \@params }),
    });
    my $content = decode_json($answer->{content});
    die "$content->{error}{message}\n" if $content->{error};
    return $content->{result};
}

my $challenge = call('get_challenges')->[0];
my $token = [$challenge, hmac_sha256_hex($challenge, $secret)];
print "tools: ", call('overview', $token)->{tools}, "\n";
