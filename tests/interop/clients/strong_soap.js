// Calls the sample tools by their WSDL, with the package `strong-soap`.
// Argument: address of the server.
'use strict';

const { soap } = require('strong-soap');

const [server] = process.argv.slice(2);

function connect(path) {
  return new Promise((resolve, reject) => {
    const done = (error, client) => (error ? reject(error) : resolve(client));
    soap.createClient(`${server}${path}`, {}, done);
  });
}

function call(client, method, value) {
  return new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer && answer.return));
    client[method](value === undefined ? {} : { value }, done);
  });
}

async function main() {
  const types = await connect('/WSDL/sample/types');
  const faults = await connect('/SOAP/sample/faults?wsdl');
  const order = { id: 1, lines: { item: [{ item: 'a', count: 2 }] } };
  const found = {
    bool_: await call(types, 'bool_', true),
    int_: await call(types, 'int_', 2147483648),
    float_: await call(types, 'float_', 1.5),
    str_: await call(types, 'str_', 'ä <&> 𝄞'),
    enum: await call(types, 'enum', 'red'),
    list_: await call(types, 'list_', { item: [1, 2] }),
    dict_: await call(types, 'dict_', { item: [{ key: 'a b', value: 1 }] }),
    default: await call(types, 'optional'),
    union: await call(types, 'union', { string: '5' }),
    record: await call(types, 'record', order),
    untyped: await call(types, 'untyped', 'x'),
    none: (await call(types, 'none')) === undefined,
  };
  for (const method of ['raises', 'missing', 'own']) {
    await call(faults, method).catch((error) => {
      const fault = error.root.Envelope.Body.Fault;
      found[method] = (fault.detail || fault.Detail).ToolFault;
    });
  }
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
