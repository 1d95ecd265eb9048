// Calls the shop by code that gSOAP has generated from its WSDL, checked strictly.
// Argument: address of the tool.
#include <cstdio>
#include <iostream>
#include "InteropShopSoap11.nsmap"
#include "soapInteropShopSoap11Proxy.h"

static int failed(InteropShopSoap11Proxy &shop, const char *where)
{
    std::cerr << where << ": ";
    shop.soap_stream_fault(std::cerr);
    return 1;
}

int main(int, char **arguments)
{
    std::cout << std::unitbuf;
    InteropShopSoap11Proxy shop(arguments[1], SOAP_XML_STRICT | SOAP_C_UTFSTRING);

    _ns1__echo text;
    _ns1__echoResponse echoed;
    text.text = " \xc3\xa4 <&> \xf0\x9d\x84\x9e";
    if (shop.echo(&text, echoed))
        return failed(shop, "echo");
    std::cout << "echo " << echoed.return_ << "\n";

    ns1__Line line;
    line.item = "book";
    ns1__ArrayOfLine lines;
    lines.item.push_back(&line);
    ns1__Order order;
    order.id = 4611686018427387904LL;
    order.lines = &lines;
    _ns1__place wanted;
    _ns1__placeResponse placed;
    wanted.order = &order;
    wanted.when = 1767323045;
    if (shop.place(&wanted, placed))
        return failed(shop, "place");
    const ns1__Line *first = placed.return_->lines->item.at(0);
    std::cout << "place " << placed.return_->id << " " << first->item << " " << *first->count
              << " " << (placed.return_->note ? "note" : "no note") << "\n";

    ns1__MapOfDecimal prices;
    _ns1__MapOfDecimal_item price;
    price.key = "a b";
    price.value = "1.50";
    prices.item.push_back(price);
    _ns1__prices asked;
    _ns1__pricesResponse told;
    asked.prices = &prices;
    if (shop.prices(&asked, told))
        return failed(shop, "prices");
    std::cout << "prices " << told.return_->item.at(0).key << " " << told.return_->item.at(0).value
              << "\n";

    _ns1__nothing nothing;
    _ns1__nothingResponse answered;
    if (shop.nothing(&nothing, answered))
        return failed(shop, "nothing");
    std::cout << "default " << *answered.return_ << "\n";

    std::string five = "5";
    ns1__LongOrString choice;
    choice.__union_LongOrString = SOAP_UNION__ns1__union_LongOrString_string;
    choice.union_LongOrString.string = &five;
    _ns1__either either;
    _ns1__eitherResponse chosen;
    either.value = &choice;
    if (shop.either(&either, chosen))
        return failed(shop, "either");
    std::cout << "either "
              << (chosen.return_->__union_LongOrString == SOAP_UNION__ns1__union_LongOrString_string)
              << "\n";

    _ns1__fail fail;
    _ns1__failResponse never;
    if (!shop.fail(&fail, never))
        return 1;
    SOAP_ENV__Detail *detail = shop.soap->version == 2 ? shop.soap->fault->SOAP_ENV__Detail
                                                       : shop.soap->fault->detail;
    const _ns1__ToolFault *fault = detail->ns1__ToolFault;
    std::cout << "fail " << fault->type << ": " << fault->message << "\n";
    return 0;
}
