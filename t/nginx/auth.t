# Who is asking: TargetToken and GatewayToken in each mode, and that a refused
# request changes nothing.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

use Digest::SHA qw(sha256_hex);

my $s = stack(fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n");
my $v1 = '/DEFAULT/controller/v1';

sub auth { [map { (Authorization => $_) } @_] }

sub poll { $s->get("$v1/$_[0]", headers => auth(@_[1 .. $#_])) }

sub mode {
    my ($mode) = @_;
    $s->value("update goosebit.tenant set auth = '$mode'
        where name = 'DEFAULT' returning 1");
}

# All that a refused request could have touched.
sub state {
    return join "\n", $s->value('select count(*) from goosebit.device'),
        $s->value("select string_agg(d::text, ',' order by id)
            from goosebit.device d") // '',
        $s->value('select count(*) from goosebit.action_status');
}

is($s->gbctl('device', 'add', 'one', '--token', 'S3cret')->{exit}, 0,
    'a device with a token');
is($s->gbctl('device', 'add', 'bare')->{exit}, 0, 'and one without');


subtest 'strict' => sub {
    my $before = state();
    my @table = (
        ['the token', 200, 'TargetToken S3cret'],
        ['scheme in lower case', 200, 'targettoken S3cret'],
        ['scheme in upper case', 200, 'TARGETTOKEN S3cret'],
        ['several spaces', 200, 'TargetToken    S3cret'],
        ['none', 401],
        ['empty', 401, ''],
        ['scheme alone', 401, 'TargetToken'],
        ['scheme and a space', 401, 'TargetToken '],
        ['a wrong one', 401, 'TargetToken s3cret'],
        ['its beginning', 401, 'TargetToken S3cre'],
        ['and more', 401, 'TargetToken S3crets'],
        ['in quotes', 401, 'TargetToken "S3cret"'],
        ['its digest', 401, 'TargetToken ' . sha256_hex('S3cret')],
        ['another scheme', 401, 'Bearer S3cret'],
        ['Basic', 401, 'Basic UzNjcmV0'],
        ['a gateway\'s', 401, 'GatewayToken S3cret'],
        ['without a scheme', 401, 'S3cret'],
        ['a longer scheme', 401, 'TargetTokenX S3cret'],
        ['a shorter scheme', 401, 'TargetToke S3cret'],
        ['no space', 401, 'TargetToken:S3cret'],
        ['SQL', 401, "TargetToken ' or ''='"],
        ['bytes', 401, "TargetToken \xff\xfe\x01"],
        ['7 KB', 401, 'TargetToken ' . 'x' x 7000],
    );

    for (@table) {
        my ($name, $status, @value) = @$_;
        my $r = poll('one', @value);
        is($r->{status}, $status, $name);
        next if $status == 200;
        is($r->{json}{errorCode}, 'unauthorized', 'error document');
        is($r->{headers}{'www-authenticate'}, 'TargetToken', 'what to send');
        unlike($r->{raw}, qr/one|S3cret/, 'gives nothing away');
    }

    is(poll('bare')->{status}, 401, 'a device without a stored token');
    is(poll('bare', 'TargetToken x')->{status}, 401, 'whatever it sends');
    is(poll('nobody', 'TargetToken S3cret')->{status}, 401, 'unknown device');
    is(state(), $before, 'nothing has changed');
};


subtest 'every resource asks' => sub {
    my @other = ("$v1/one/softwaremodules/1/artifacts",
        "$v1/one/installedBase/11", "$v1/one/deploymentBase/11",
        "$v1/one/cancelAction/11");
    my @empty = map { "$v1/one/softwaremodules/1/artifacts/$_" }
        qw(a.swu a.swu.MD5SUM);

    for my $headers (auth(), auth('TargetToken x')) {
        is($s->get($_, headers => $headers)->{status}, 401, $_) for @other;
        for (@empty) {
            my $r = $s->get($_, headers => $headers);
            is("$r->{status} $r->{headers}{'content-length'}", '401 0', $_);
        }
        is($s->put("$v1/one/configData", headers => $headers,
            json => { data => { a => 'b' } })->{status}, 401, 'configData');
        for my $base (qw(deploymentBase cancelAction)) {
            is($s->post("$v1/one/$base/11/feedback", headers => $headers,
                json => { status => { execution => 'closed' } })->{status},
                401, "$base feedback");
        }
    }
    is($s->get($_, headers => auth('TargetToken S3cret'))->{status}, 404,
        "$_, let in") for @other, @empty;
};


subtest 'lax' => sub {
    mode('lax');
    is(poll('bare')->{status}, 200, 'no token stored, none sent');
    is(poll('bare', 'TargetToken any')->{status}, 200, 'any sent');
    is(poll('laxnew')->{status}, 200, 'unknown');
    is(poll('one')->{status}, 401, 'a stored one is asked for');
    is(poll('one', 'TargetToken S3cret')->{status}, 200, 'and taken');
    is(poll('bare', 'TargetToken other')->{status}, 200,
        'none was stored on the way');
};


subtest 'setup' => sub {
    mode('setup');
    is(poll('first', 'TargetToken T1')->{status}, 200, 'the first token');
    is(poll('first', 'TargetToken T1')->{status}, 200, 'is kept');
    is(poll('first', 'TargetToken T2')->{status}, 401, 'no other');
    is(poll('first')->{status}, 401, 'nor none');
    is(poll('later')->{status}, 200, 'none yet');
    is(poll('later', 'TargetToken T3')->{status}, 200, 'then one');
    is(poll('later')->{status}, 401, 'which is asked for');
    is($s->value("select encode(token, 'hex') from goosebit.device
        where controller_id = 'later'"), sha256_hex('T3'),
        'stored as a digest');
    is(poll('gw', 'GatewayToken G')->{status}, 200,
        'a gateway\'s token is not a device\'s');
    is(poll('odd', $_)->{status}, 200, "nor is '$_'")
        for 'TargetTokenX T', 'TargetToken:T', 'TargetToken', 'Bearer T';
    is($s->value("select count(*) from goosebit.device
        where controller_id in ('gw', 'odd') and token is null"), 2,
        'nor stored');
};


subtest 'gateway' => sub {
    mode('strict');
    $s->value("update goosebit.tenant
        set gateway_token = sha256('G'::bytea), gateway_prefix = 'gw-'
        where name = 'DEFAULT' returning 1");
    is(poll('gw-1', 'GatewayToken G')->{status}, 200, 'within its prefix');
    is(poll('gw-1', 'gatewaytoken G')->{status}, 200, 'in lower case');
    is(poll('one', 'GatewayToken G')->{status}, 401, 'outside');
    is(poll('gw-1', 'GatewayToken H')->{status}, 401, 'a wrong one');
    is(poll('gw-1', 'TargetToken G')->{status}, 401, 'as a device\'s');
};


subtest 'off' => sub {
    mode('off');
    is(poll('one')->{status}, 200, 'none');
    is(poll('one', 'TargetToken wrong')->{status}, 200, 'a wrong one');
    is(poll('one', 'Basic x')->{status}, 200, 'another scheme');
};


subtest 'two at once' => sub {
    is($s->get("$v1/one", headers => auth('TargetToken y',
        'TargetToken x'))->{status}, 400, 'which is meant is not guessed');
};


subtest 'secrets' => sub {
    my $logs = $s->error_log . $s->access_log . $s->pg_log;
    unlike($logs, qr/S3cret/, 'no token in a log');
    like($s->access_log, qr/ 401 /, 'though refusals are there');
};

done_testing;
