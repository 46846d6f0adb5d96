#!/usr/bin/perl
# The tenants of goosebit.yaml are served without further ado, from a start or
# a reload on; the database has others besides.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(fsync => 'off', yaml => <<'YAML');
tenant: [Acme, with space]
YAML

sub poll { $s->get("/$_[0]/controller/v1/d") }
sub served { my $t = shift; wait_for(sub { poll($t)->{status} == 200 }) }

sub names {
    return [map { $_->[0] }
        $s->sql('SELECT name FROM goosebit.tenant ORDER BY id')];
}

ok(served('acme'), 'a tenant that only goosebit.yaml knows is served');
like(poll('acme')->{json}{_links}{configData}{href},
    qr{^http://[^/]+/Acme/controller/v1/d/}, 'and written as it is there');
is(poll('with%20space')->{status}, 404, 'a name that gbctl would refuse: 404');
ok($s->wait_log(qr/\[error\].*tenant "with space" of goosebit\.yaml has an/),
    'and the log says so');
is(poll('DEFAULT')->{status}, 200, 'what the database has besides is served');

$s->gbctl('tenant', 'delete', 'Acme', '--force', '-y');
sleep 2;
is(poll('acme')->{status}, 404, 'who deletes a tenant is not contradicted');

my $yaml = $s->env->{GOOSEBIT_CONFIG};
my $text = slurp($yaml);
$text =~ s/^tenant:.*/tenant: Beta/m;
spew($yaml, $text);
ok($s->reload, 'another name in goosebit.yaml, and a reload');
ok(served('beta'), 'it is served');
is_deeply(names(), ['DEFAULT', 'Beta'], 'and all there is');
is($s->value(q{SELECT string_agg(who, ',') FROM goosebit.audit
    WHERE verb = 'tenant.add' AND object = 'Beta'}), 'goosebit_ddi', 'the audit has it');

$s->sql(q{DELETE FROM goosebit.device; DELETE FROM goosebit.tenant});
ok($s->reload, 'a reload without any tenant');
ok(served('beta'), 'makes those of goosebit.yaml');
is_deeply(names(), ['Beta'], 'but not DEFAULT, which somebody has deleted');

done_testing;
