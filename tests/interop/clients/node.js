// Calls the sample tools by their WSDL, with the package `soap`.
// Arguments: address of the server, version of SOAP.
'use strict';

const soap = require('soap');

const [server, version] = process.argv.slice(2);
const options = { forceSoap12Headers: version === '1.2' };

async function main() {
  const types = await soap.createClientAsync(`${server}/WSDL/sample/types`, options);
  const faults = await soap.createClientAsync(`${server}/SOAP/sample/faults?wsdl`, options);
  const call = async (method, value) => {
    const [answer] = await types[`${method}Async`]({ value });
    // For the package an answer without a value is null as a whole.
    return answer && answer.return;
  };
  const order = { id: 1, lines: { item: [{ item: 'a', count: 2 }] } };
  const found = {
    bool_: await call('bool_', true),
    int_: await call('int_', 2147483648),
    float_: await call('float_', 1.5),
    decimal: await call('decimal', '1.50'),
    str_: await call('str_', 'ä <&> 𝄞'),
    bytes_: Buffer.from(await call('bytes_', 'AP8='), 'base64').toString('hex'),
    datetime: await call('datetime', '2026-01-02T03:04:05Z'),
    date: await call('date', '2026-01-02'),
    enum: await call('enum', 'red'),
    list_: (await call('list_', { item: [1, 2] })).item,
    tuple_: await call('tuple_', { item1: 1, item2: 'a' }),
    dict_: (await call('dict_', { item: [{ key: 'a b', value: 1 }] })).item,
    nothing: await call('optional', null),
    default: (await types.optionalAsync({}))[0].return,
    union: await call('union', { string: '5' }),
    record: await call('record', order),
    typed_dict: await call('typed_dict', { title: 'M' }),
    untyped: await call('untyped', 'x'),
    none: (await types.noneAsync({}))[0],
  };
  for (const method of ['raises', 'missing', 'own']) {
    try {
      await faults[`${method}Async`]({});
    } catch (error) {
      const fault = error.root.Envelope.Body.Fault;
      const code = fault.faultcode || fault.Code.Value;
      const detail = fault.detail || fault.Detail;
      found[method] = [code, detail.ToolFault.message, detail.ToolFault.type];
    }
  }
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
