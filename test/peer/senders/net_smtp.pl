# perl net_smtp.pl TLS PORT CA USER PASSWORD SUBJECT
use strict;
use warnings;
use Net::SMTP;

my ($tls, $port, $ca, $user, $password, $subject) = @ARGV;
my %ssl = (SSL_ca_file => $ca, SSL_verifycn_name => 'localhost');
my $smtp = Net::SMTP->new('localhost', Port => $port, Hello => 'client.example', SSL => $tls eq 'implicit', %ssl)
	or die "no connection: $@";

if ($tls eq 'starttls') {
	$smtp->starttls(%ssl) or die 'no TLS: ' . $smtp->message;
}
if ($user ne '') {
	$smtp->auth($user, $password) or die 'no login: ' . $smtp->message;
}
$smtp->mail('a@example.com') or die $smtp->message;
$smtp->to('b@example.net') or die $smtp->message;
$smtp->data("From: a\@example.com\nTo: b\@example.net\nSubject: $subject\n\nhello\n.a dot\n") or die $smtp->message;
$smtp->quit;
