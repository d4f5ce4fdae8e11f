<?php
// Settings of SimpleSAMLphp: the lab's identity provider by its own metadata.
$dir = getenv('TESTBED_DIR');
$config = [
    'baseurlpath' => 'https://simplesamlphp.contoso.test/simplesamlphp/',
    'certdir' => "$dir/",
    'loggingdir' => "$dir/run/",
    'datadir' => "$dir/run/",
    'tempdir' => "$dir/run/tmp",
    'secretsalt' => trim(file_get_contents("$dir/salt")),
    'auth.adminpassword' => trim(file_get_contents("$dir/salt")),
    'technicalcontact_name' => 'Testbed',
    'technicalcontact_email' => 'admin@contoso.test',
    'timezone' => 'UTC',
    'showerrors' => true,
    'errorreporting' => false,
    'debug' => ['saml' => false, 'backtraces' => true, 'validatexml' => true],
    'logging.level' => SimpleSAML\Logger::NOTICE,
    'logging.handler' => 'file',
    'module.enable' => ['core' => true, 'saml' => true],
    'store.type' => 'phpsession',
    'session.phpsession.savepath' => "$dir/run",
    'session.cookie.secure' => true,
    'language.default' => 'en',
    'metadata.sources' => [['type' => 'xml', 'file' => getenv('TESTBED_IDP')]],
];
